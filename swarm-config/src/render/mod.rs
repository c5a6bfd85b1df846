//! From the plan to the files that programs read.
//!
//! Rendering is a function: the same plan, members and paths give the same bytes. Members and
//! subjects are sorted. No secret is ever part of a rendered file; each file names the files
//! that secrets lie in.

mod leaf;
mod nats;
mod prometheus;
mod synapse;
mod systemd;
mod wireguard;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::layout::Layout;
use crate::member::Member;
use crate::plan::Plan;
use crate::value::{AbsolutePath, NatsSubject, NatsUser, NodeId, PublicKeyPem};

pub use prometheus::Scrape;

/// A rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenderedFile {
    /// Path below the swarm's directory, such as `nats/nats-server.conf`.
    pub path: &'static str,
    /// What is in it.
    pub contents: String,
    /// Permission bits, such as `0o600`.
    pub mode: u32,
}

impl RenderedFile {
    /// Makes a file of something that lies on a disk already, to compare or lint it.
    #[must_use]
    pub fn new(path: &'static str, contents: String, mode: u32) -> Self {
        Self {
            path,
            contents,
            mode,
        }
    }
}

/// The reason why a file cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The node is not the primary hub, where the bus and the rooms run.
    #[error("{id} is not the primary hub")]
    NotPrimary {
        /// The node.
        id: NodeId,
    },
    /// The node has no bus of its own.
    #[error("{id} has no bus of its own: its leaf = true is missing in swarm.toml")]
    NotALeaf {
        /// The node.
        id: NodeId,
    },
    /// Two nodes with a bus of their own would answer the same requests of the mesh.
    #[error("{id} and {other} both answer {subject} over their links")]
    DuplicateService {
        /// One member.
        id: NodeId,
        /// The other member.
        other: NodeId,
        /// What is asked.
        subject: NatsSubject,
    },
    /// The node is not among the members.
    #[error("{id} is not among the members")]
    NotAMember {
        /// The node.
        id: NodeId,
    },
    /// Two members have the same name.
    #[error("two members are named {id}")]
    DuplicateMember {
        /// The name.
        id: NodeId,
    },
    /// Two members have the same name on the bus.
    #[error("{id} and {other} have the same name on the bus, {user}")]
    DuplicateUser {
        /// One member.
        id: NodeId,
        /// The other member.
        other: NodeId,
        /// Their name on the bus.
        user: NatsUser,
    },
    /// A member has no address in the mesh.
    #[error("{id} has no address in the mesh")]
    NoAddress {
        /// The member.
        id: NodeId,
    },
    /// Two members have the same address: WireGuard would give it to one of both.
    #[error("{id} and {other} have the same address, {address}")]
    DuplicateAddress {
        /// One member.
        id: NodeId,
        /// The other member.
        other: NodeId,
        /// Their address.
        address: IpAddr,
    },
    /// Two members have the same WireGuard key: they would be one peer.
    #[error("{id} and {other} have the same WireGuard key")]
    DuplicateKey {
        /// One member.
        id: NodeId,
        /// The other member.
        other: NodeId,
    },
    /// A member's permissions are wider or narrower than NATS would take them to be.
    #[error("the bus permissions of {id} cannot be written: {reason}")]
    Permissions {
        /// The member.
        id: NodeId,
        /// What cannot be written.
        reason: &'static str,
    },
}

/// Renders the files of one node.
///
/// # Defaults
/// The program is `/usr/local/bin/swarm`; Prometheus scrapes on loopback.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Renderer<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The directory that the files lie in.
    pub layout: &'a Layout,
    /// The node whose files these are.
    pub node: &'a NodeId,
    /// The living members. Order does not matter.
    pub members: &'a [Member],
    /// The program that the systemd unit starts.
    pub program: AbsolutePath,
    /// How Prometheus reaches the nodes.
    pub scrape: Scrape,
}

impl<'a> Renderer<'a> {
    /// Makes a renderer with the defaults.
    #[must_use]
    pub fn new(
        plan: &'a Plan,
        layout: &'a Layout,
        node: &'a NodeId,
        members: &'a [Member],
    ) -> Self {
        let program = AbsolutePath::parse("/usr/local/bin/swarm").expect("a good path");
        Self {
            plan,
            layout,
            node,
            members,
            program,
            scrape: Scrape::Loopback,
        }
    }

    /// Renders every file of the node: those of the bus and the rooms only at the primary hub, that
    /// of a bus of its own at a leaf node, and those of the rooms only with the key that logins are signed with.
    ///
    /// # Errors
    /// [`RenderError`]: nothing is rendered then.
    pub fn all(&self, login_key: Option<&PublicKeyPem>) -> Result<Vec<RenderedFile>, RenderError> {
        let mut files = Vec::new();
        if *self.node == self.plan.primary().id {
            files.push(self.nats()?);
            if let Some(key) = login_key {
                files.extend(self.synapse(key)?);
            }
        } else if self.plan.is_leaf(self.node) {
            files.push(self.nats_leaf()?);
        }
        files.push(self.wireguard()?);
        files.push(self.systemd());
        files.push(self.prometheus()?);
        files.sort_by_key(|file| file.path);
        Ok(files)
    }

    /// Fails unless the node is the primary hub.
    fn require_primary(&self) -> Result<(), RenderError> {
        if *self.node == self.plan.primary().id {
            return Ok(());
        }
        Err(RenderError::NotPrimary {
            id: self.node.clone(),
        })
    }

    /// The members, ordered by name, each there once.
    fn sorted_members(&self) -> Result<Vec<&'a Member>, RenderError> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let mut seen = BTreeSet::new();
        match members.iter().find(|member| !seen.insert(&member.id)) {
            Some(twice) => Err(RenderError::DuplicateMember {
                id: twice.id.clone(),
            }),
            None => Ok(members),
        }
    }

    /// The first lines of every rendered file. All three formats and YAML begin comments so.
    fn header(&self) -> String {
        format!(
            "# Rendered from swarm.toml for {} of {}. Changes made here are lost: make them there.\n",
            self.node,
            self.plan.name(),
        )
    }
}
