//! Buses of nodes that have one of their own, and the accounts in which the hub's bus meets them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::nats::{ACCOUNT, SYSTEM_ACCOUNT, user};
use super::{RenderError, RenderedFile, Renderer};
use crate::layout::Layout;
use crate::member::{Member, NatsLeaf};
use crate::plan::Plan;
use crate::value::{NatsSubject, NodeId};

impl Renderer<'_> {
    /// Renders the configuration of a node's own bus, a leaf node of the hub's, with streams of its
    /// own in a JetStream domain that is named like the node.
    ///
    /// It listens on loopback alone, and takes the node itself alone. It connects to the hub with
    /// the node's certificate, which nats-server reads when it starts: a renewed one needs a restart
    /// to be shown.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn nats_leaf(&self) -> Result<RenderedFile, RenderError> {
        let id = || self.node.clone();
        if !self.plan.is_leaf(self.node) {
            return Err(RenderError::NotALeaf { id: id() });
        }
        let members = self.sorted_members()?;
        let own = members.iter().find(|member| member.id == *self.node);
        let own = own.ok_or_else(|| RenderError::NotAMember { id: id() })?;
        let leaf = &self.plan.nats().leaf;
        let mut out = self.server(self.plan.leaf_address(), leaf.monitor_port);
        let (memory, file) = (leaf.max_memory.bytes(), leaf.max_file.bytes());
        out += &self.jetstream(Some(self.node), memory, file);
        let (hub, tls) = (self.plan.leaf_link_address(), self.tls("      ", false));
        let user = user(own, "STANDARD", &own.nats)?;
        write!(
            out,
            "leafnodes {{\n  reconnect: 2\n  remotes: [\n    {{\n      url: \"nats-leaf://{hub}\"\n      \
             account: {ACCOUNT}\n{tls}    }}\n  ]\n}}\n\n\
             system_account: {SYSTEM_ACCOUNT}\naccounts {{\n  {SYSTEM_ACCOUNT} {{}}\n  {ACCOUNT} {{\n    \
             jetstream: enabled\n    users: [\n{user}\n    ]\n  }}\n}}\n"
        )
        .expect("a String takes everything");
        Ok(RenderedFile {
            path: Layout::NATS_CONF,
            contents: out,
            mode: 0o600,
        })
    }
}

/// The links of a hub's bus.
pub(super) struct Links<'a> {
    leaves: Vec<(&'a Member, &'a NatsLeaf)>,
}

/// Of two accounts, the one that has something and those that may take it.
type Exports<'a> = BTreeMap<(&'static str, &'a NatsSubject, bool), BTreeSet<String>>;

impl<'a> Links<'a> {
    pub(super) fn of(plan: &Plan, members: &[&'a Member]) -> Result<Self, RenderError> {
        let mut leaves: Vec<(&Member, &NatsLeaf)> = Vec::new();
        for member in members.iter().filter(|member| plan.is_leaf(&member.id)) {
            let refuse = |reason| RenderError::Permissions {
                id: member.id.clone(),
                reason,
            };
            let leaf = member
                .leaf
                .as_ref()
                .ok_or_else(|| refuse("what may cross its link is not said"))?;
            if leaf.link.allow_responses.is_some() {
                return Err(refuse("a link is given no leave by request"));
            }
            let round = |up: &NatsSubject| leaf.down.iter().any(|down| overlap(up, down));
            if leaf.up.iter().any(round) {
                return Err(refuse("what it sends over its link would come back by it"));
            }
            for (other, its) in &leaves {
                let both = |one: &&NatsSubject| its.serves.iter().any(|two| overlap(one, two));
                if let Some(subject) = leaf.serves.iter().find(both) {
                    return Err(RenderError::DuplicateService {
                        id: other.id.clone(),
                        other: member.id.clone(),
                        subject: subject.clone(),
                    });
                }
            }
            leaves.push((*member, leaf));
        }
        Ok(Self { leaves })
    }

    /// What the mesh's account has of and for the leaves'.
    pub(super) fn mesh(&self) -> String {
        let (mut exports, mut imports) = (Exports::new(), String::new());
        for (member, leaf) in &self.leaves {
            let account = account(&member.id);
            let streams = leaf.down.iter().map(|down| ("stream", down, false));
            let services = leaf.asks.iter();
            let services = services.map(|asked| ("service", &asked.subject, asked.several));
            for export in streams.chain(services) {
                exports.entry(export).or_default().insert(account.clone());
            }
            for (kind, subjects) in [("stream", &leaf.up), ("service", &leaf.serves)] {
                for subject in subjects {
                    import(&mut imports, kind, &account, subject, subject);
                }
            }
        }
        blocks(&exports, &imports)
    }

    /// The leaves' own accounts.
    pub(super) fn accounts(&self) -> Result<String, RenderError> {
        let mut out = String::new();
        for (member, leaf) in &self.leaves {
            let (mut exports, mut imports) = (Exports::new(), String::new());
            let mesh = || BTreeSet::from([ACCOUNT.to_owned()]);
            for (kind, subjects) in [("stream", &leaf.up), ("service", &leaf.serves)] {
                exports.extend(subjects.iter().map(|s| ((kind, s, false), mesh())));
            }
            for subject in &leaf.down {
                import(&mut imports, "stream", ACCOUNT, subject, subject);
            }
            for asked in &leaf.asks {
                let (subject, at_leaf) = (&asked.subject, &asked.at_leaf);
                import(&mut imports, "service", ACCOUNT, subject, at_leaf);
            }
            let user = user(member, "LEAFNODE", &leaf.link)?;
            let (name, blocks) = (account(&member.id), blocks(&exports, &imports));
            write!(
                out,
                "\n  \"{name}\" {{\n    users: [\n{user}\n    ]{blocks}\n  }}"
            )
            .expect("a String takes everything");
        }
        Ok(out)
    }
}

/// The account of a leaf node's link at the hub.
fn account(id: &NodeId) -> String {
    format!("LEAF_{id}")
}

fn import(to: &mut String, kind: &str, account: &str, subject: &NatsSubject, here: &NatsSubject) {
    let renamed = match subject == here {
        true => String::new(),
        false => format!(", to: \"{here}\""),
    };
    writeln!(
        to,
        "      {{ {kind}: {{ account: \"{account}\", subject: \"{subject}\" }}{renamed} }}"
    )
    .expect("a String takes everything");
}

fn blocks(exports: &Exports<'_>, imports: &str) -> String {
    if exports.is_empty() && imports.is_empty() {
        return String::new();
    }
    let mut out = "\n    exports: [\n".to_owned();
    for ((kind, subject, several), accounts) in exports {
        let several = match several {
            true => ", response_type: \"stream\"",
            false => "",
        };
        let accounts: Vec<_> = accounts.iter().map(|a| format!("\"{a}\"")).collect();
        let accounts = accounts.join(", ");
        writeln!(
            out,
            "      {{ {kind}: \"{subject}\"{several}, accounts: [{accounts}] }}"
        )
        .expect("a String takes everything");
    }
    out + "    ]\n    imports: [\n" + imports + "    ]"
}

/// Whether some subject fits both patterns.
fn overlap(one: &NatsSubject, other: &NatsSubject) -> bool {
    let (mut one, mut other) = (one.as_str().split('.'), other.as_str().split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_a_subject_fits_both() {
        let overlap = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| NatsSubject::parse(text).unwrap());
            overlap(&one, &other)
        };
        assert!(overlap("a.*", "*.b") && overlap("a.>", "a.b.c") && overlap("a", "a"));
        assert!(!overlap("a.*", "a") && !overlap("a.>", "a") && !overlap("a.b", "a.c"));
        assert!(!overlap("a.*.c", "a.b"));
    }
}
