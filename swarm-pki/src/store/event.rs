//! What is written into the journal: one event a transaction.

use serde::{Deserialize, Serialize};

use super::{Grant, Settings};
use crate::{Fingerprint, NodeId, Revocation, SerialNumber, Timestamp};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) at: Timestamp,
    pub(super) requester: String,
    pub(super) event: Event,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Event {
    Initialized {
        settings: Settings,
        root: CertificateText,
        root_encrypted: bool,
        issuing: CertificateText,
        crls: Vec<CrlRef>,
    },
    Issued {
        certificate: CertificateText,
        generation: u32,
        grant: Grant,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite: Option<InviteId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<SerialNumber>,
    },
    Revoked {
        node: NodeId,
        serials: Vec<SerialNumber>,
        revocation: Revocation,
        /// The whole node is cut off: its open invites are void.
        whole_node: bool,
        crls: Vec<CrlRef>,
    },
    CrlsRefreshed {
        crls: Vec<CrlRef>,
    },
    IssuingRotated {
        generation: u32,
        issuing: CertificateText,
        crls: Vec<CrlRef>,
    },
    IssuingRevoked {
        generation: u32,
        revocation: Revocation,
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

/// Which authority, and which of its lists, by file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CrlRef {
    /// 0 is the root; issuing authorities count from 1.
    pub(super) generation: u32,
    pub(super) number: u64,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    pub(super) sha256: Fingerprint,
}

/// Finds an invite; not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct InviteId(#[serde(with = "hex::serde")] pub(super) [u8; 8]);

/// DER in base64.
#[derive(Clone, Debug)]
pub(super) struct CertificateText(pub(super) Vec<u8>);

impl Serialize for CertificateText {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD
            .encode(&self.0)
            .serialize(to)
    }
}

impl<'de> Deserialize<'de> for CertificateText {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(from)?;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
