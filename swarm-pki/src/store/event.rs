//! What is written into the journal: one event a line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::adopt::Revocations;
use super::{AuthorityId, Grant, KeyPlace, ServiceGrant, Settings};
use crate::rollover::{Rollover, RolloverPhase};
use crate::{
    Certificate, Fingerprint, NodeCertificate, NodeId, Revocation, SerialNumber,
    ServiceCertificate, ServiceName, Timestamp,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) at: Timestamp,
    pub(super) requester: String,
    pub(super) event: Event,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    Initialized {
        settings: Settings,
        authorities: Vec<NewAuthority>,
        crls: Vec<CrlRef>,
    },
    SubordinateInitialized {
        settings: Settings,
        /// The root that the operator pinned.
        root: Fingerprint,
        request: Bytes,
    },
    SettingsChanged {
        settings: Settings,
    },
    RootDetached {
        generation: u32,
        path: PathBuf,
    },
    /// A subordinate asks for its next generation.
    AuthorityRequested {
        request: Bytes,
    },
    /// A subordinate got what it asked for.
    AuthorityAccepted {
        generation: u32,
        authorities: Vec<NewAuthority>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<Text>,
        crls: Vec<CrlRef>,
        /// Not the first one: it takes over step by step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollover: Option<Rollover>,
    },
    /// The root certified an authority of another store.
    SubordinateSigned {
        authority: NewAuthority,
    },
    IssuingRotated {
        authority: NewAuthority,
        crls: Vec<CrlRef>,
    },
    IssuingRevoked {
        generation: u32,
        revocation: Revocation,
        crls: Vec<CrlRef>,
    },
    RolloverBegun {
        rollover: Rollover,
        authorities: Vec<NewAuthority>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<Text>,
        crls: Vec<CrlRef>,
    },
    RolloverAdvanced {
        /// None: it is done.
        phase: Option<RolloverPhase>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        left_behind: BTreeSet<NodeId>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        revoked: BTreeMap<AuthorityId, Revocation>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        crls: Vec<CrlRef>,
    },
    RolloverAborted {
        revoked: BTreeMap<AuthorityId, Revocation>,
        crls: Vec<CrlRef>,
    },
    TrustReported {
        node: NodeId,
        known: BTreeSet<AuthorityId>,
    },
    /// What the swarm knew and a restored store did not.
    Adopted {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        authorities: Vec<NewAuthority>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<Text>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        crls: Vec<CrlRef>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        certificates: Vec<NodeText>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        revoked: Revocations,
        settles: bool,
    },
    Restored {
        epoch: u32,
        /// The backup's digest.
        backup: Fingerprint,
        created: Timestamp,
    },
    Settled,
    ReenrolmentAsked {
        node: NodeId,
        serial: SerialNumber,
    },
    ReenrolmentDecided {
        node: NodeId,
        approved: bool,
    },
    Issued {
        #[serde(with = "node_text")]
        certificate: NodeCertificate,
        generation: u32,
        grant: Grant,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite: Option<InviteId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<SerialNumber>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reenrolment: bool,
    },
    Revoked {
        node: NodeId,
        serials: Vec<SerialNumber>,
        revocation: Revocation,
        /// The whole node is cut off: its open invites are void.
        whole_node: bool,
        crls: Vec<CrlRef>,
    },
    ServiceIssued {
        #[serde(with = "service_text")]
        certificate: ServiceCertificate,
        generation: u32,
        grant: ServiceGrant,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<SerialNumber>,
    },
    ServiceRevoked {
        service: ServiceName,
        serials: Vec<SerialNumber>,
        revocation: Revocation,
        crls: Vec<CrlRef>,
    },
    CrlsRefreshed {
        crls: Vec<CrlRef>,
    },
    Invited {
        invite: InviteId,
        secret_sha256: Fingerprint,
        grant: Grant,
        expires: Timestamp,
    },
    Refused {
        operation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeId>,
        reason: String,
        /// How many refusals before this one were not written down, for there were too many.
        #[serde(default, skip_serializing_if = "is_zero")]
        unwritten: u64,
    },
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// An authority that comes into the inventory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NewAuthority {
    pub(super) id: AuthorityId,
    pub(super) certificate: Text,
    pub(super) key: KeyPlace,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) label: String,
}

/// Which authority, and which of its lists, by file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CrlRef {
    pub(super) authority: AuthorityId,
    pub(super) number: u64,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    pub(super) sha256: Fingerprint,
}

/// Finds an invite; not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct InviteId(#[serde(with = "hex::serde")] pub(super) [u8; 8]);

/// Bytes as base64.
#[derive(Clone, Debug)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        base64_of(&self.0).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(from)?;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A certificate as base64 of its DER.
#[derive(Clone, Debug)]
pub(super) struct Text(pub(super) Certificate);

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        base64_of(self.0.der()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(from)?;
        Certificate::from_der(&bytes.0)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A node certificate as base64 of its DER.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeText(#[serde(with = "node_text")] pub(super) NodeCertificate);

mod node_text {
    use serde::{Deserialize, Serialize};

    use super::{Bytes, NodeCertificate, base64_of};

    pub(super) fn serialize<S: serde::Serializer>(
        node: &NodeCertificate,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        base64_of(node.der()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<NodeCertificate, D::Error> {
        let bytes = Bytes::deserialize(from)?;
        NodeCertificate::from_der(&bytes.0).map_err(serde::de::Error::custom)
    }
}

mod service_text {
    use serde::{Deserialize, Serialize};

    use super::{Bytes, ServiceCertificate, base64_of};

    pub(super) fn serialize<S: serde::Serializer>(
        service: &ServiceCertificate,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        base64_of(service.certificate().der()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<ServiceCertificate, D::Error> {
        let bytes = Bytes::deserialize(from)?;
        ServiceCertificate::from_der(&bytes.0).map_err(serde::de::Error::custom)
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
