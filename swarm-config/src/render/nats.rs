//! `nats-server.conf`, for nats-server 2.9.10 and later.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::leaf::Links;
use super::{RenderError, RenderedFile, Renderer};
use crate::layout::Layout;
use crate::member::{Member, NatsPermissions, SubjectRules};
use crate::value::{NatsSubject, NodeId, Span};

/// The account that all nodes share, and the one that is the server's own.
pub(super) const ACCOUNT: &str = "SWARM";
pub(super) const SYSTEM_ACCOUNT: &str = "SYS";

impl Renderer<'_> {
    /// Renders the configuration of the bus.
    ///
    /// The server listens on the node's mesh address alone and takes only clients whose
    /// certificate names a member; its monitoring is on loopback. Nodes with a bus of their own
    /// come in by another listener of that address, each into an account of its own whose exports and
    /// imports say what crosses: 2.9.10 leaves it to a leaf node to obey its permissions to publish. The node itself has to be
    /// among the members: nats-server lets everybody in when its list of users is empty.
    ///
    /// A member that is gone from the list loses its live connection when nats-server reloads
    /// the file (SIGHUP). Every other way of taking a certificate back leaves it connected. The
    /// connection of a leaf node outlives a reload, in an account that nothing leads out of any more.
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
        let links = Links::of(self.plan, &members)?;
        let mut out = self.server(self.plan.nats_address(), nats.monitor_port);
        // By the plan, not by who is there: a reload refuses to close or open the listener, and with it
        // that the last leaf node is taken out.
        if self.plan.leaves().next().is_some() {
            let tls = self.tls("  ", true);
            let address = self.plan.leaf_link_address();
            write!(
                out,
                "leafnodes {{\n  listen: \"{address}\"\n  no_advertise: true\n{tls}}}\n\n"
            )
            .expect("a String takes everything");
        }
        let (memory, file) = (nats.jetstream_max_memory, nats.jetstream_max_file);
        out += &self.jetstream(None, memory.bytes(), file.bytes());
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.write_fmt(text).expect("a String takes everything");
            out.push('\n');
        };
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
            if !self.plan.is_leaf(&member.id) {
                line(format_args!("{}", user(member, "STANDARD", &member.nats)?));
            }
        }
        line(format_args!(
            "    ]{}\n  }}{}\n}}",
            links.mesh(),
            links.accounts()?
        ));
        Ok(RenderedFile {
            path: Layout::NATS_CONF,
            contents: out,
            mode: 0o600,
        })
    }

    /// What every server has before its streams and users.
    pub(super) fn server(&self, listen: SocketAddr, monitor_port: u16) -> String {
        let nats = self.plan.nats();
        let mut out = self.header();
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.write_fmt(text).expect("a String takes everything");
            out.push('\n');
        };
        line(format_args!("server_name: \"{}\"", self.node));
        line(format_args!("listen: \"{listen}\""));
        line(format_args!("http: \"127.0.0.1:{monitor_port}\""));
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
        out + &self.tls("", true) + "\n"
    }

    /// A block that shows the node's certificate and takes those of the swarm alone; where others
    /// connect, each as the user that its certificate names.
    pub(super) fn tls(&self, indent: &str, maps: bool) -> String {
        let (chain, key) = (
            self.layout.tls_chain(self.node),
            self.layout.tls_key(self.node),
        );
        // Without ca_file the system's authorities would be trusted, and nothing said.
        let trust = self.layout.trust(self.node);
        let map = match maps {
            true => format!("{indent}  verify_and_map: true\n"),
            false => String::new(),
        };
        format!(
            "{indent}tls {{\n{indent}  cert_file: \"{chain}\"\n{indent}  key_file: \"{key}\"\n\
             {indent}  ca_file: \"{trust}\"\n{map}{indent}  timeout: 10\n{indent}}}\n"
        )
    }

    pub(super) fn jetstream(&self, domain: Option<&NodeId>, memory: u64, file: u64) -> String {
        let store = self.layout.nats_store();
        let domain = domain.map_or(String::new(), |domain| format!("  domain: \"{domain}\"\n"));
        format!(
            "jetstream {{\n  store_dir: \"{store}\"\n{domain}  max_memory_store: {memory}\n  \
             max_file_store: {file}\n}}\n\n"
        )
    }
}

/// A user of one kind of connection.
pub(super) fn user(
    member: &Member,
    kind: &str,
    permissions: &NatsPermissions,
) -> Result<String, RenderError> {
    let refuse = |reason| RenderError::Permissions {
        id: member.id.clone(),
        reason,
    };
    let NatsPermissions {
        publish,
        subscribe,
        allow_responses,
    } = permissions;
    let mut written = rules("publish", publish);
    written += &rules("subscribe", subscribe);
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
            written,
            "          allow_responses: {{ max: {max}, expires: \"{expires}\" }}"
        )
        .expect("a String takes everything");
    }
    Ok(format!(
        "      {{\n        user: \"{}\"\n        allowed_connection_types: [\"{kind}\"]\n        \
         permissions: {{\n{written}        }}\n      }}",
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
