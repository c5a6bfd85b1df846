//! The swarm's living members, as the caller knows them from their certificates.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::value::{NatsSubject, NatsUser, NodeId, Role, Span, WireGuardPublicKey};

/// A member of the swarm: what its certificate says, and what the bus allows it.
///
/// The plan says how the swarm is set up, the members say who is in it. They come from the
/// caller at each rendering, so a member that is left out is gone from every rendered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Its roles.
    pub roles: BTreeSet<Role>,
    /// Its mesh addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Its WireGuard public key.
    pub wireguard_public_key: WireGuardPublicKey,
    /// Its public WireGuard address, when it has one.
    pub endpoint: Option<SocketAddr>,
    /// Its name on the bus: the URI in its certificate.
    pub nats_user: NatsUser,
    /// What the bus allows it; of a node with a bus of its own, what that one allows it. The default
    /// allows nothing.
    pub nats: NatsPermissions,
    /// What may cross the link between its own bus and the hub's. Needed where the plan says that it
    /// has one, and not looked at elsewhere.
    pub leaf: Option<NatsLeaf>,
}

impl Member {
    /// Makes a member without roles or endpoint, to whom the bus allows nothing.
    #[must_use]
    pub fn new(
        id: NodeId,
        addresses: impl IntoIterator<Item = IpAddr>,
        wireguard_public_key: WireGuardPublicKey,
        nats_user: NatsUser,
    ) -> Self {
        Self {
            id,
            roles: BTreeSet::new(),
            addresses: addresses.into_iter().collect(),
            wireguard_public_key,
            endpoint: None,
            nats_user,
            nats: NatsPermissions::default(),
            leaf: None,
        }
    }
}

/// What a user may do on the bus. The default allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NatsPermissions {
    /// The subjects that it may publish to.
    pub publish: SubjectRules,
    /// The subjects that it may subscribe to.
    pub subscribe: SubjectRules,
    /// Whether it may answer requests, wherever they ask to be answered.
    pub allow_responses: Option<AllowResponses>,
}

/// What may cross the link of a node's own bus to the hub's, where the link has an account of its
/// own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NatsLeaf {
    /// What the link's user may do in that account. No `allow_responses`: a server does not look at
    /// it for a link.
    pub link: NatsPermissions,
    /// What the mesh receives of what is published at the leaf.
    pub up: BTreeSet<NatsSubject>,
    /// What the leaf receives of what is published in the mesh.
    pub down: BTreeSet<NatsSubject>,
    /// The requests of the mesh that the leaf answers.
    pub serves: BTreeSet<NatsSubject>,
    /// The requests of the leaf that the mesh answers.
    pub asks: BTreeSet<NatsAsked>,
}

/// A request of a leaf node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NatsAsked {
    /// Its subject in the mesh.
    pub subject: NatsSubject,
    /// Its subject at the leaf.
    pub at_leaf: NatsSubject,
    /// Whether several messages may answer it.
    pub several: bool,
}

/// Subjects allowed, less the subjects denied. What is in neither list is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SubjectRules {
    /// Subjects and patterns allowed.
    pub allow: BTreeSet<NatsSubject>,
    /// Subjects and patterns denied, even where allowed.
    pub deny: BTreeSet<NatsSubject>,
}

/// Leave to publish an answer to the reply subject of a request that was received. How much of it
/// is enough, whoever renders the file knows: the bus's own policy has the figures of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AllowResponses {
    /// Answers to one request, at most; not 0.
    pub max: u32,
    /// How long after the request.
    pub expires: Span,
}
