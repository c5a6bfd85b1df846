//! The private extension with WireGuard key and roles.

use std::collections::BTreeSet;

use der::asn1::OctetString;
use x509_cert::ext::Extension;

use super::{IdentityError, MAX_ROLES, SWARM_EXTENSION};
use crate::Role;
use crate::asn1::{Malformed, Reader, Writer, tag};

/// The version of the extension's content that this crate writes and reads.
const EXTENSION_VERSION: u8 = 1;

/// The content of the extension [`SWARM_EXTENSION_OID`].
///
/// ```text
/// SwarmIdentity ::= SEQUENCE {
///     version             INTEGER (1),
///     wireguardPublicKey  OCTET STRING (SIZE (32)),
///     roles               SEQUENCE SIZE (0..32) OF UTF8String  -- ascending, none twice
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SwarmExtension {
    pub(crate) wireguard_public_key: [u8; 32],
    pub(crate) roles: BTreeSet<Role>,
}

pub(super) fn write_swarm_extension(
    writer: &mut Writer,
    wireguard_public_key: &[u8; 32],
    roles: &BTreeSet<Role>,
) {
    writer.sequence(|fields| {
        fields.integer(&[EXTENSION_VERSION]);
        fields.primitive(tag::OCTET_STRING, wireguard_public_key);
        fields.sequence(|list| {
            for role in roles {
                list.primitive(tag::UTF8_STRING, role.as_str().as_bytes());
            }
        });
    });
}

impl SwarmExtension {
    pub(crate) fn to_extension(&self) -> Extension {
        let mut writer = Writer::with_capacity(128);
        write_swarm_extension(&mut writer, &self.wireguard_public_key, &self.roles);
        Extension {
            extn_id: SWARM_EXTENSION,
            critical: false,
            extn_value: OctetString::new(writer.into_der()).expect("below der's limit"),
        }
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(der);
        let mut fields = reader.nested(tag::SEQUENCE)?;
        reader.finish()?;
        let version = u8::try_from(fields.unsigned()?).map_err(|_| Malformed)?;
        if version != EXTENSION_VERSION {
            return Err(IdentityError::UnsupportedVersion(version));
        }
        let wireguard_public_key = fields
            .content(tag::OCTET_STRING)?
            .try_into()
            .map_err(|_| IdentityError::WireguardKey)?;
        if wireguard_public_key == [0; 32] {
            return Err(IdentityError::WireguardKey);
        }
        let mut roles = BTreeSet::new();
        let mut list = fields.nested(tag::SEQUENCE)?;
        fields.finish()?;
        while !list.is_empty() {
            let text = list.content(tag::UTF8_STRING)?;
            let role: Role = std::str::from_utf8(text).map_err(|_| Malformed)?.parse()?;
            if roles.len() == MAX_ROLES {
                return Err(IdentityError::TooMany {
                    what: "roles",
                    most: MAX_ROLES,
                });
            }
            if roles.last().is_some_and(|last| *last >= role) {
                return Err(IdentityError::Order("roles"));
            }
            roles.insert(role);
        }
        Ok(Self {
            wireguard_public_key,
            roles,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(key: &[u8], roles: &[&str], version: u8) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128);
        writer.sequence(|fields| {
            fields.integer(&[version]);
            fields.primitive(tag::OCTET_STRING, key);
            fields.sequence(|list| {
                for role in roles {
                    list.primitive(tag::UTF8_STRING, role.as_bytes());
                }
            });
        });
        writer.into_der()
    }

    #[test]
    fn the_extension_is_read_strictly() {
        let good = content(&[7; 32], &["edge", "hub"], 1);
        assert!(SwarmExtension::from_der(&good).is_ok());
        let refused = |der: &[u8]| SwarmExtension::from_der(der).unwrap_err();
        let later = content(&[7; 32], &[], 2);
        assert_eq!(refused(&later), IdentityError::UnsupportedVersion(2));
        assert_eq!(
            refused(&content(&[7; 31], &[], 1)),
            IdentityError::WireguardKey
        );
        assert_eq!(
            refused(&content(&[0; 32], &[], 1)),
            IdentityError::WireguardKey
        );
        let order = IdentityError::Order("roles");
        assert_eq!(refused(&content(&[7; 32], &["hub", "edge"], 1)), order);
        assert_eq!(refused(&content(&[7; 32], &["hub", "hub"], 1)), order);
        assert!(matches!(
            refused(&content(&[7; 32], &["Hub"], 1)),
            IdentityError::Name(_)
        ));
        let names: Vec<String> = (0..=MAX_ROLES).map(|n| format!("r{n:03}")).collect();
        let many: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(matches!(
            refused(&content(&[7; 32], &many, 1)),
            IdentityError::TooMany { .. }
        ));
        let mut trailing = good.clone();
        trailing.push(0);
        assert!(matches!(refused(&trailing), IdentityError::Malformed(_)));
        // A later field inside the sequence is not this version.
        let mut longer = good;
        longer[1] += 2;
        longer.extend([5, 0]);
        assert!(matches!(refused(&longer), IdentityError::Malformed(_)));
    }

    proptest! {
        #[test]
        fn whatever_parses_as_an_extension_is_written_the_same(
            noise in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            if let Ok(read) = SwarmExtension::from_der(&noise) {
                let extension = read.to_extension();
                prop_assert_eq!(extension.extn_value.as_bytes(), noise.as_slice());
            }
        }
    }
}
