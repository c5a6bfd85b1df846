//! What a certificate may be used for in TLS.

use std::collections::BTreeSet;
use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use serde::{Deserialize, Serialize};

use super::IdentityError;
use crate::asn1::{Reader, tag};

/// A side of a TLS connection that a certificate may take: its extended key usage
/// ([RFC 5280 §4.2.1.12](https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.12)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// As a TLS server: serverAuth.
    Server,
    /// As a TLS client: clientAuth.
    Client,
}

impl Usage {
    /// Both sides.
    pub const ALL: [Self; 2] = [Self::Server, Self::Client];

    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Server => ID_KP_SERVER_AUTH,
            Self::Client => ID_KP_CLIENT_AUTH,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// Reads the content of an extended key usage: TLS server, TLS client or both, none twice.
pub(super) fn read_usages(content: &[u8]) -> Result<BTreeSet<Usage>, IdentityError> {
    let malformed = |_| IdentityError::Malformed("extended key usage");
    let mut value = Reader::new(content);
    let mut purposes = value.nested(tag::SEQUENCE).map_err(malformed)?;
    value.finish().map_err(malformed)?;
    let mut usages = BTreeSet::new();
    while !purposes.is_empty() {
        let purpose = purposes
            .content(tag::OBJECT_IDENTIFIER)
            .map_err(malformed)?;
        let usage = Usage::ALL
            .into_iter()
            .find(|usage| usage.oid().as_bytes() == purpose)
            .ok_or(IdentityError::Usage(
                "a purpose other than serverAuth and clientAuth",
            ))?;
        if !usages.insert(usage) {
            return Err(IdentityError::Order("purposes"));
        }
    }
    check_usages(&usages)?;
    Ok(usages)
}

pub(super) fn check_usages(usages: &BTreeSet<Usage>) -> Result<(), IdentityError> {
    if usages.is_empty() {
        return Err(IdentityError::Usage("neither serverAuth nor clientAuth"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_other_than_tls_or_none_or_one_twice_is_refused() {
        let read = |purposes: &[ObjectIdentifier]| {
            let mut writer = crate::asn1::Writer::with_capacity(64);
            writer.sequence(|list| {
                for purpose in purposes {
                    list.primitive(tag::OBJECT_IDENTIFIER, purpose.as_bytes());
                }
            });
            read_usages(&writer.into_der())
        };
        assert_eq!(read(&[ID_KP_CLIENT_AUTH]), Ok([Usage::Client].into()));
        assert!(read(&[]).is_err());
        let mail = const_oid::db::rfc5280::ID_KP_EMAIL_PROTECTION;
        assert!(read(&[ID_KP_SERVER_AUTH, mail]).is_err());
        let any = const_oid::db::rfc5280::ANY_EXTENDED_KEY_USAGE;
        assert!(read(&[any]).is_err());
        assert!(read(&[ID_KP_SERVER_AUTH, ID_KP_SERVER_AUTH]).is_err());
    }
}
