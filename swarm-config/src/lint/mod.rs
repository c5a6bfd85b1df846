//! Warnings about what is accepted and still wrong: by the plan's own checks, by
//! `nats-server -t`, by `python -m synapse.config` and by wg-quick.
//!
//! Every rule here comes from something that those programs take without a word. The functions
//! on texts are for files that somebody wrote or changed by hand; what this crate renders has no
//! warning.

mod nats;
mod nats_conf;
mod plan;
mod synapse;
mod wireguard;

use std::fmt;

use serde::Serialize;

use crate::layout::Layout;
use crate::render::RenderedFile;

pub use nats::nats;
pub use plan::plan;
pub use synapse::synapse;
pub use wireguard::wireguard;

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// The rule, a stable name such as `nats-open-listener`.
    pub rule: &'static str,
    /// What it is about: a key of `swarm.toml` or of the file looked at.
    pub subject: String,
    /// Line in the file, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what comes of it.
    pub message: String,
}

impl Warning {
    fn new(
        rule: &'static str,
        subject: impl Into<String>,
        line: Option<usize>,
        message: impl Into<String>,
    ) -> Self {
        // What came from a file may be of any length and hold anything.
        let subject = subject.into();
        let subject = if subject.chars().any(char::is_control) || subject.len() > 120 {
            format!("{:?}", subject.chars().take(80).collect::<String>())
        } else {
            subject
        };
        Self {
            rule,
            subject,
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {} [{}]", self.subject, self.message, self.rule)
    }
}

/// Warnings about a file, by its path below the swarm's directory. A file that no rule is about
/// has none.
#[must_use]
pub fn file(file: &RenderedFile) -> Vec<Warning> {
    match file.path {
        Layout::NATS_CONF => nats(&file.contents),
        Layout::HOMESERVER_YAML => synapse(&file.contents),
        Layout::WG_CONF => wireguard(&file.contents),
        _ => Vec::new(),
    }
}

/// Whether a text names a loopback address, with or without a port.
fn is_loopback(address: &str) -> bool {
    use std::net::{IpAddr, SocketAddr};
    let ip = address
        .parse::<SocketAddr>()
        .map(|at| at.ip())
        .or_else(|_| address.trim_matches(['[', ']']).parse::<IpAddr>());
    match ip {
        Ok(ip) => ip.is_loopback(),
        Err(_) => address == "localhost" || address.starts_with("localhost:"),
    }
}
