//! `nats-server.conf`, for nats-server 2.9.10 and later.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{RenderError, RenderedFile, Renderer};
use crate::layout::Layout;
use crate::member::{Member, NatsPermissions, SubjectRules};
use crate::value::{NatsSubject, Span};

/// The account that all nodes share, and the one that is the server's own.
const ACCOUNT: &str = "SWARM";
const SYSTEM_ACCOUNT: &str = "SYS";

impl Renderer<'_> {
    /// Renders the configuration of the bus.
    ///
    /// The server listens on the node's mesh address alone and takes only clients whose
    /// certificate names a member; its monitoring is on loopback. The node itself has to be
    /// among the members: nats-server lets everybody in when its list of users is empty.
    ///
    /// A member that is gone from the list loses its live connection when nats-server reloads
    /// the file (SIGHUP). Every other way of taking a certificate back leaves it connected.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn nats(&self) -> Result<RenderedFile, RenderError> {
        self.require_primary()?;
        let members = self.sorted_members()?;
        if !members.iter().any(|member| member.id == *self.node) {
            return Err(RenderError::NotAMember {
                id: self.node.clone(),
            });
        }
        let nats = self.plan.nats();
        let mut out = self.header();
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.write_fmt(text).expect("a String takes everything");
            out.push('\n');
        };
        line(format_args!("server_name: \"{}\"", self.node));
        line(format_args!("listen: \"{}\"", self.plan.nats_address()));
        line(format_args!("http: \"127.0.0.1:{}\"", nats.monitor_port));
        line(format_args!("pid_file: \"{}\"\n", self.layout.nats_pid()));
        line(format_args!("max_payload: {}", nats.max_payload.bytes()));
        // A reload refuses to change it, so it never follows another setting: the most that a
        // payload may be.
        line(format_args!("max_pending: {}", 64 << 20));
        line(format_args!("max_connections: {}", nats.max_connections));
        line(format_args!(
            "write_deadline: \"{}\"",
            go_duration(nats.write_deadline)
        ));
        line(format_args!(
            "ping_interval: \"{}\"",
            go_duration(nats.ping_interval)
        ));
        line(format_args!("ping_max: 2\n"));
        line(format_args!("tls {{"));
        line(format_args!(
            "  cert_file: \"{}\"",
            self.layout.tls_chain(self.node)
        ));
        line(format_args!(
            "  key_file: \"{}\"",
            self.layout.tls_key(self.node)
        ));
        // Without ca_file the system's authorities would be trusted, and nothing said.
        line(format_args!(
            "  ca_file: \"{}\"",
            self.layout.trust(self.node)
        ));
        line(format_args!("  verify_and_map: true"));
        line(format_args!("  timeout: 10\n}}\n"));
        line(format_args!("jetstream {{"));
        line(format_args!(
            "  store_dir: \"{}\"",
            self.layout.nats_store()
        ));
        line(format_args!(
            "  max_memory_store: {}",
            nats.jetstream_max_memory.bytes()
        ));
        line(format_args!(
            "  max_file_store: {}\n}}\n",
            nats.jetstream_max_file.bytes()
        ));
        line(format_args!("system_account: {SYSTEM_ACCOUNT}"));
        line(format_args!(
            "accounts {{\n  {SYSTEM_ACCOUNT} {{}}\n  {ACCOUNT} {{"
        ));
        line(format_args!("    jetstream: enabled\n    users: ["));
        let mut users: BTreeMap<_, &Member> = BTreeMap::new();
        for member in members {
            if let Some(other) = users.insert(&member.nats_user, member) {
                return Err(RenderError::DuplicateUser {
                    id: other.id.clone(),
                    other: member.id.clone(),
                    user: member.nats_user.clone(),
                });
            }
            line(format_args!("{}", user(member)?));
        }
        line(format_args!("    ]\n  }}\n}}"));
        Ok(RenderedFile {
            path: Layout::NATS_CONF,
            contents: out,
            mode: 0o600,
        })
    }
}

fn user(member: &Member) -> Result<String, RenderError> {
    let refuse = |reason| RenderError::Permissions {
        id: member.id.clone(),
        reason,
    };
    let NatsPermissions {
        publish,
        subscribe,
        allow_responses,
    } = &member.nats;
    let mut permissions = rules("publish", publish);
    permissions += &rules("subscribe", subscribe);
    if let Some(responses) = allow_responses {
        // 0 is "the server's default" in the file, and a negative number "any number".
        if responses.max == 0 {
            return Err(refuse("0 answers to a request"));
        }
        if responses.expires.duration().is_zero() {
            return Err(refuse("answers within no time"));
        }
        // With allow_responses and no list of its own, publishing is denied altogether.
        let expires = go_duration(responses.expires);
        let max = responses.max;
        writeln!(
            permissions,
            "          allow_responses: {{ max: {max}, expires: \"{expires}\" }}"
        )
        .expect("a String takes everything");
    }
    Ok(format!(
        "      {{\n        user: \"{}\"\n        allowed_connection_types: [\"STANDARD\"]\n        \
         permissions: {{\n{permissions}        }}\n      }}",
        member.nats_user
    ))
}

/// One direction of a user's permissions. An empty list would mean everything: what is allowed
/// nothing is denied everything by name.
fn rules(direction: &str, rules: &SubjectRules) -> String {
    if rules.allow.is_empty() {
        return format!("          {direction}: {{ deny: [\">\"] }}\n");
    }
    let mut text = format!("          {direction}: {{ allow: [{}]", list(&rules.allow));
    if !rules.deny.is_empty() {
        write!(text, ", deny: [{}]", list(&rules.deny)).expect("a String takes everything");
    }
    text + " }\n"
}

fn list<'s>(subjects: impl IntoIterator<Item = &'s NatsSubject>) -> String {
    let quoted: Vec<String> = subjects.into_iter().map(|s| format!("\"{s}\"")).collect();
    quoted.join(", ")
}

/// A span as Go reads it: hours are its largest unit, and seconds are enough here.
fn go_duration(span: Span) -> String {
    let duration = span.duration();
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}
