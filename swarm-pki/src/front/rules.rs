//! Who may come in, where to, and how much of everything.

use std::{collections::BTreeSet, time::Duration};

use http::{HeaderName, HeaderValue};

use super::PathPrefix;
use crate::{NodeCertificate, NodeId, Role};

/// The members that a front lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Every node with a trusted certificate.
    AnyMember,
    /// Nodes that have one of the roles, and nodes that are named.
    Only {
        /// Any of these roles is enough.
        roles: BTreeSet<Role>,
        /// These nodes need no role.
        nodes: BTreeSet<NodeId>,
    },
}

impl Access {
    /// Lets through the nodes that have at least one of the roles.
    pub fn roles(roles: impl IntoIterator<Item = Role>) -> Self {
        Self::Only {
            roles: roles.into_iter().collect(),
            nodes: BTreeSet::new(),
        }
    }

    /// Lets through the named nodes.
    pub fn nodes(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self::Only {
            roles: BTreeSet::new(),
            nodes: nodes.into_iter().collect(),
        }
    }

    /// Says whether the holder of a certificate, which must already be verified, may come in.
    pub fn admits(&self, certificate: &NodeCertificate) -> bool {
        match self {
            Self::AnyMember => true,
            Self::Only { roles, nodes } => {
                nodes.contains(certificate.id())
                    || !roles.is_disjoint(&certificate.identity().roles)
            }
        }
    }
}

/// What an HTTP front asks of each request.
///
/// # Defaults
/// [`Rules::new`] closes and limits no path, names the peer in `X-Swarm-Node` and `X-Swarm-Roles`, and lets
/// connections change to `websocket` alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rules {
    /// Who may come in.
    pub access: Access,
    /// Paths that nobody reaches through the front, such as `/_synapse/admin`.
    pub closed: Vec<PathPrefix>,
    /// Paths that only some of those who may come in reach: by role, by node. A path under several
    /// of the prefixes asks for all of them.
    pub limited: Vec<(PathPrefix, Access)>,
    /// The header that tells the service the peer's node id.
    ///
    /// What a peer sends under this name is removed, with `_` for `-` too, as are all
    /// `X-Swarm-*`, `X-Forwarded-*`, `Forwarded` and `X-Real-IP` headers, and those that some
    /// frameworks take for the path (`X-Original-URL`, `X-Rewrite-URL`).
    pub identity_header: HeaderName,
    /// The header that tells the service the peer's roles, separated by commas.
    pub roles_header: HeaderName,
    /// The protocols that a connection may change to, in lower case; a wish for another one is
    /// not passed on.
    ///
    /// After the change the front sees bytes and no requests. A protocol that carries requests of
    /// its own, such as `h2c`, would get around every other rule.
    pub upgrades: Vec<String>,
}

impl Rules {
    /// Makes rules that close and limit no path.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            closed: Vec::new(),
            limited: Vec::new(),
            identity_header: HeaderName::from_static("x-swarm-node"),
            roles_header: HeaderName::from_static("x-swarm-roles"),
            upgrades: vec!["websocket".to_owned()],
        }
    }

    pub(super) fn allows_upgrade(&self, protocol: &HeaderValue) -> bool {
        let known = |allowed: &String| protocol.as_bytes().eq_ignore_ascii_case(allowed.as_bytes());
        self.upgrades.iter().any(known)
    }

    /// Lets only these members reach what is under a prefix.
    #[must_use]
    pub fn limit(mut self, prefix: PathPrefix, access: Access) -> Self {
        self.limited.push((prefix, access));
        self
    }

    /// Closes everything under a prefix.
    #[must_use]
    pub fn close(mut self, prefix: PathPrefix) -> Self {
        self.closed.push(prefix);
        self
    }
}

/// How much a front grants its peers of time and memory.
///
/// # Defaults
/// 1,024 connections, 256 of them from one address, 10 s for a TLS handshake, 60 s for a request head (and between two requests
/// on one connection), 64 KiB of head with at most 100 headers, 5 s to reach the service, 240 s for
/// its answer to begin, 300 s of silence, 10 s to drain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many connections may be open at once; more are closed as they come.
    pub max_connections: usize,
    /// How many of them may come from one address, or one /64 of IPv6: a member that has fallen
    /// into strange hands shall not keep the others out.
    pub max_from_one_address: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request head may take, counted from the end of the request before.
    pub head: Duration,
    /// The largest request head in bytes, at least 8,192 (a smaller value counts as that).
    pub max_head: usize,
    /// The most headers a request may have.
    pub max_headers: usize,
    /// How long reaching the service may take.
    pub connect: Duration,
    /// How long the service may take until its response begins. Longer than the longest long poll.
    pub response: Duration,
    /// How long a connection may go without one byte in either direction.
    pub idle: Duration,
    /// How long open connections may go on after the shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_from_one_address: 256,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            max_head: 64 * 1024,
            max_headers: 100,
            connect: Duration::from_secs(5),
            response: Duration::from_secs(240),
            idle: Duration::from_secs(300),
            drain: Duration::from_secs(10),
        }
    }
}
