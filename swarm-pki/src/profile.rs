//! What root, issuing, node and service certificates look like: usages and lifetimes.

use std::collections::BTreeSet;
use std::time::Duration;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
};
use serde::{Deserialize, Serialize};

use crate::asn1::{Writer, tag};
use crate::{Timestamp, Usage};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// From when until when a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// Makes the validity `now − backdate ..= now + lifetime`.
    pub fn starting(now: Timestamp, lifetime: Duration, backdate: Duration) -> Self {
        Self {
            not_before: now - backdate,
            not_after: now + lifetime,
        }
    }

    /// Cuts the validity down to what lies within `issuer`; `None` when nothing does.
    pub fn within(self, issuer: Validity) -> Option<Self> {
        let not_before = self.not_before.max(issuer.not_before);
        let not_after = self.not_after.min(issuer.not_after);
        (not_before <= not_after).then_some(Self {
            not_before,
            not_after,
        })
    }
}

/// How long each kind of certificate and list lives; whole seconds.
///
/// # Defaults
///
/// | field | default |
/// |---|---|
/// | `root` | 10 years |
/// | `issuing` | 3 years |
/// | `node` | 30 days |
/// | `service` | 90 days |
/// | `backdate` | 1 hour |
/// | `crl` | 7 days |
/// | `root_crl` | 1 year |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lifetimes {
    /// The root authority's certificate.
    #[serde(with = "seconds")]
    pub root: Duration,
    /// An issuing authority's certificate.
    #[serde(with = "seconds")]
    pub issuing: Duration,
    /// A node certificate, unless its grant says otherwise.
    #[serde(with = "seconds")]
    pub node: Duration,
    /// A service certificate; longer than a node's, for many services are given theirs by hand.
    #[serde(with = "seconds")]
    pub service: Duration,
    /// How far before its making a certificate or list becomes valid, for clocks that run behind.
    #[serde(with = "seconds")]
    pub backdate: Duration,
    /// From an issuing authority's revocation list to the next one; it is re-issued at half of it.
    #[serde(with = "seconds")]
    pub crl: Duration,
    /// From the root's revocation list to the next one; long, for the root's key may be away.
    #[serde(with = "seconds")]
    pub root_crl: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            root: Duration::from_secs(3_652 * DAY),
            issuing: Duration::from_secs(1_095 * DAY),
            node: Duration::from_secs(30 * DAY),
            service: Duration::from_secs(90 * DAY),
            backdate: Duration::from_secs(HOUR),
            crl: Duration::from_secs(7 * DAY),
            root_crl: Duration::from_secs(365 * DAY),
        }
    }
}

pub(crate) mod seconds {
    //! A duration as whole seconds.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        value.as_secs().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

/// Writes the extensions of an authority: CA with a path length, keyCertSign and cRLSign, key ids.
///
/// No name constraints: webpki refuses every leaf with a URI SAN below one on URIs.
pub(crate) fn write_authority_extensions(
    writer: &mut Writer,
    subject_key_id: &[u8],
    authority_key_id: &[u8],
    path_length: u8,
) {
    writer.extension(ID_CE_BASIC_CONSTRAINTS.as_bytes(), true, |value| {
        value.sequence(|fields| {
            fields.primitive(tag::BOOLEAN, &[0xff]);
            fields.integer(&[path_length]);
        });
    });
    // keyCertSign and cRLSign: bits 5 and 6, one bit unused.
    writer.extension(ID_CE_KEY_USAGE.as_bytes(), true, |value| {
        value.primitive(tag::BIT_STRING, &[1, 0b0000_0110]);
    });
    write_key_ids(writer, subject_key_id, authority_key_id);
}

/// Writes the extensions that every node and service certificate has, whoever it is for.
pub(crate) fn write_leaf_extensions(
    writer: &mut Writer,
    usages: &BTreeSet<Usage>,
    subject_key_id: &[u8],
    authority_key_id: &[u8],
) {
    writer.extension(ID_CE_BASIC_CONSTRAINTS.as_bytes(), true, |value| {
        value.sequence(|_| {});
    });
    // digitalSignature: bit 0, seven bits unused.
    writer.extension(ID_CE_KEY_USAGE.as_bytes(), true, |value| {
        value.primitive(tag::BIT_STRING, &[7, 0b1000_0000]);
    });
    writer.extension(ID_CE_EXT_KEY_USAGE.as_bytes(), false, |value| {
        value.sequence(|purposes| {
            for usage in usages {
                purposes.primitive(tag::OBJECT_IDENTIFIER, usage.oid().as_bytes());
            }
        });
    });
    write_key_ids(writer, subject_key_id, authority_key_id);
}

fn write_key_ids(writer: &mut Writer, subject: &[u8], authority: &[u8]) {
    writer.extension(ID_CE_SUBJECT_KEY_IDENTIFIER.as_bytes(), false, |value| {
        value.primitive(tag::OCTET_STRING, subject);
    });
    write_authority_key_identifier(writer, authority);
}

/// Names the issuer's own subject key identifier, in certificates and CRLs alike.
pub(crate) fn write_authority_key_identifier(writer: &mut Writer, id: &[u8]) {
    writer.extension(ID_CE_AUTHORITY_KEY_IDENTIFIER.as_bytes(), false, |value| {
        value.sequence(|fields| fields.primitive(tag::implicit(0), id));
    });
}
