//! The subject alternative name: one SPIFFE URI, DNS names and addresses beside it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use der::asn1::{Ia5String, OctetString};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::{IdentityError, MAX_ADDRESSES, MAX_DNS_NAMES};
use crate::DnsName;
use crate::encode::extension;

pub(super) fn subject_alternative_name(
    uri: &str,
    dns: &[DnsName],
    addresses: &[IpAddr],
) -> Extension {
    let ia5 = |text: &str| Ia5String::new(text).expect("names are ASCII");
    let mut names = vec![GeneralName::UniformResourceIdentifier(ia5(uri))];
    names.extend(
        dns.iter()
            .map(|name| GeneralName::DnsName(ia5(name.as_str()))),
    );
    names.extend(addresses.iter().map(|address| {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        GeneralName::IpAddress(OctetString::new(octets).expect("an address is short"))
    }));
    extension(ID_CE_SUBJECT_ALT_NAME, false, &SubjectAltName(names))
}

/// The one URI, the DNS names and the addresses.
pub(super) type Names<'a> = (&'a str, Vec<DnsName>, Vec<IpAddr>);

pub(super) fn read_names(names: &[GeneralName]) -> Result<Names<'_>, IdentityError> {
    let mut uris = Vec::new();
    let mut dns = Vec::new();
    let mut addresses = Vec::new();
    for name in names {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str()),
            GeneralName::DnsName(name) => dns.push(name.as_str().parse::<DnsName>()?),
            GeneralName::IpAddress(octets) => addresses.push(read_address(octets.as_bytes())?),
            _ => return Err(IdentityError::UnsupportedName),
        }
    }
    let [uri] = uris.as_slice() else {
        return Err(IdentityError::UriNames(uris.len()));
    };
    Ok((uri, dns, addresses))
}

fn read_address(octets: &[u8]) -> Result<IpAddr, IdentityError> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets)
            .ok()
            .map(|v4| IpAddr::V4(Ipv4Addr::from(v4))),
        16 => <[u8; 16]>::try_from(octets)
            .ok()
            .map(|v6| IpAddr::V6(Ipv6Addr::from(v6))),
        _ => None,
    }
    .ok_or(IdentityError::Malformed("IP address"))
}

pub(super) fn check_names(dns: &[DnsName], addresses: &[IpAddr]) -> Result<(), IdentityError> {
    check_list("DNS names", dns, MAX_DNS_NAMES)?;
    check_list("addresses", addresses, MAX_ADDRESSES)
}

fn check_list<T: Ord>(what: &'static str, list: &[T], most: usize) -> Result<(), IdentityError> {
    if list.len() > most {
        return Err(IdentityError::TooMany { what, most });
    }
    if list.iter().collect::<BTreeSet<_>>().len() != list.len() {
        return Err(IdentityError::Order(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use der::Decode;
    use proptest::prelude::*;

    use super::*;
    use crate::NodeIdentity;
    use crate::identity::{MAX_ROLES, SwarmExtension};

    #[test]
    fn other_names_than_a_nodes_are_refused() {
        let ia5 = |text: &str| Ia5String::new(text).unwrap();
        let uri = |text: &str| GeneralName::UniformResourceIdentifier(ia5(text));
        let own = || uri("spiffe://testers/node/edge1");
        assert!(read_names(&[own(), GeneralName::DnsName(ia5("edge1.test"))]).is_ok());
        assert_eq!(read_names(&[]), Err(IdentityError::UriNames(0)));
        assert_eq!(read_names(&[own(), own()]), Err(IdentityError::UriNames(2)));
        let mail = GeneralName::Rfc822Name(ia5("a@b.example"));
        assert_eq!(
            read_names(&[own(), mail]),
            Err(IdentityError::UnsupportedName)
        );
        for dns in ["*.test", "EDGE1.test", "edge1.test."] {
            let names = [own(), GeneralName::DnsName(ia5(dns))];
            assert!(
                matches!(read_names(&names), Err(IdentityError::Name(_))),
                "{dns}"
            );
        }
        let short = GeneralName::IpAddress(OctetString::new(vec![10, 0, 0]).unwrap());
        assert!(matches!(
            read_names(&[own(), short]),
            Err(IdentityError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn an_identity_survives_its_extensions(
            key in proptest::array::uniform32(1u8..),
            roles in proptest::collection::btree_set("[a-z][a-z0-9]{0,8}", 0..MAX_ROLES),
            v4 in proptest::collection::btree_set(any::<[u8; 4]>(), 0..8),
            v6 in proptest::collection::btree_set(any::<[u8; 16]>(), 0..8),
        ) {
            let mut identity =
                NodeIdentity::new("testers".parse().unwrap(), "edge1".parse().unwrap(), key);
            identity.roles = roles.iter().map(|role| role.parse().unwrap()).collect();
            identity.addresses = v4.into_iter().map(IpAddr::from).collect();
            identity.addresses.extend(v6.into_iter().map(IpAddr::from));
            let [san, extension] = identity.to_extensions();
            let names = SubjectAltName::from_der(san.extn_value.as_bytes()).unwrap();
            let (spiffe, dns, addresses) = read_names(&names.0).unwrap();
            prop_assert_eq!(spiffe, identity.spiffe_id().to_string());
            prop_assert_eq!(dns, identity.dns);
            prop_assert_eq!(addresses, identity.addresses);
            let read = SwarmExtension::from_der(extension.extn_value.as_bytes()).unwrap();
            prop_assert_eq!(read.roles, identity.roles);
            prop_assert_eq!(read.wireguard_public_key, identity.wireguard_public_key);
        }
    }
}
