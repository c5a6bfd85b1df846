//! The subject alternative name: one SPIFFE URI, DNS names and addresses beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;

use super::{IdentityError, MAX_ADDRESSES, MAX_DNS_NAMES};
use crate::DnsName;
use crate::asn1::{Reader, Writer, tag};

// The alternatives of a GeneralName (RFC 5280 §4.2.1.6).
const DNS_NAME: u8 = tag::implicit(2);
const URI: u8 = tag::implicit(6);
const IP_ADDRESS: u8 = tag::implicit(7);

pub(super) fn write_subject_alternative_name(
    writer: &mut Writer,
    uri: &str,
    dns: &[DnsName],
    addresses: &[IpAddr],
) {
    writer.extension(ID_CE_SUBJECT_ALT_NAME.as_bytes(), false, |value| {
        value.sequence(|names| {
            names.primitive(URI, uri.as_bytes());
            for name in dns {
                names.primitive(DNS_NAME, name.as_str().as_bytes());
            }
            for address in addresses {
                match address {
                    IpAddr::V4(v4) => names.primitive(IP_ADDRESS, &v4.octets()),
                    IpAddr::V6(v6) => names.primitive(IP_ADDRESS, &v6.octets()),
                }
            }
        });
    });
}

/// The one URI, the DNS names and the addresses.
pub(super) type Names<'a> = (&'a str, Vec<DnsName>, Vec<IpAddr>);

/// Reads the content of a subject alternative name.
pub(super) fn read_names(content: &[u8]) -> Result<Names<'_>, IdentityError> {
    let malformed = |_| IdentityError::Malformed("subject alternative name");
    let mut value = Reader::new(content);
    let mut names = value.nested(tag::SEQUENCE).map_err(malformed)?;
    value.finish().map_err(malformed)?;
    let mut uris = 0;
    let mut uri = "";
    let mut dns: Vec<DnsName> = Vec::new();
    let mut addresses = Vec::new();
    while !names.is_empty() {
        let name = names.any().map_err(malformed)?;
        let content = names.bytes(name.content);
        // IA5 is ASCII: what is not has no place in a name of ours.
        let text = || {
            std::str::from_utf8(content)
                .ok()
                .filter(|text| text.is_ascii())
                .ok_or(IdentityError::Malformed("subject alternative name"))
        };
        match name.tag {
            URI => {
                uris += 1;
                uri = text()?;
            }
            DNS_NAME if dns.len() < MAX_DNS_NAMES => dns.push(text()?.parse()?),
            IP_ADDRESS if addresses.len() < MAX_ADDRESSES => addresses.push(read_address(content)?),
            DNS_NAME => return Err(too_many("DNS names", MAX_DNS_NAMES)),
            IP_ADDRESS => return Err(too_many("addresses", MAX_ADDRESSES)),
            _ => return Err(IdentityError::UnsupportedName),
        }
    }
    if uris != 1 {
        return Err(IdentityError::UriNames(uris));
    }
    Ok((uri, dns, addresses))
}

fn too_many(what: &'static str, most: usize) -> IdentityError {
    IdentityError::TooMany { what, most }
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

fn check_list<T: PartialEq>(
    what: &'static str,
    list: &[T],
    most: usize,
) -> Result<(), IdentityError> {
    if list.len() > most {
        return Err(too_many(what, most));
    }
    // So few that comparing each with each is quicker than sorting.
    if (1..list.len()).any(|index| list[..index].contains(&list[index])) {
        return Err(IdentityError::Order(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use der::Encode;
    use der::asn1::{Ia5String, OctetString};
    use proptest::prelude::*;
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;

    use super::*;
    use crate::NodeIdentity;
    use crate::identity::{MAX_ROLES, SwarmExtension};

    #[test]
    fn other_names_than_a_nodes_are_refused() {
        let ia5 = |text: &str| Ia5String::new(text).unwrap();
        let own = || GeneralName::UniformResourceIdentifier(ia5("spiffe://testers/node/edge1"));
        let read = |names: &[GeneralName]| {
            let der = SubjectAltName(names.to_vec()).to_der().unwrap();
            read_names(&der).map(|(uri, dns, _)| (uri.to_owned(), dns.len()))
        };
        assert!(read(&[own(), GeneralName::DnsName(ia5("edge1.test"))]).is_ok());
        assert_eq!(read(&[]), Err(IdentityError::UriNames(0)));
        assert_eq!(read(&[own(), own()]), Err(IdentityError::UriNames(2)));
        let mail = GeneralName::Rfc822Name(ia5("a@b.example"));
        assert_eq!(read(&[own(), mail]), Err(IdentityError::UnsupportedName));
        for dns in ["*.test", "EDGE1.test", "edge1.test."] {
            let names = [own(), GeneralName::DnsName(ia5(dns))];
            assert!(matches!(read(&names), Err(IdentityError::Name(_))), "{dns}");
        }
        let short = GeneralName::IpAddress(OctetString::new(vec![10, 0, 0]).unwrap());
        assert!(matches!(
            read(&[own(), short]),
            Err(IdentityError::Malformed(_))
        ));
        let many = (0..=MAX_DNS_NAMES).map(|n| GeneralName::DnsName(ia5(&format!("n{n}.test"))));
        assert!(matches!(
            read(&many.collect::<Vec<_>>()),
            Err(IdentityError::TooMany { .. })
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
            let mut writer = Writer::with_capacity(512);
            identity.write_extensions(&mut writer);
            let der = writer.into_der();
            let mut reader = Reader::new(&der);
            let (_, _, san) = reader.extension().unwrap();
            let (uri, dns, addresses) = read_names(san).unwrap();
            prop_assert_eq!(uri, identity.spiffe_id().to_string());
            prop_assert_eq!(dns, identity.dns);
            prop_assert_eq!(addresses, identity.addresses);
            let (_, _, extension) = reader.extension().unwrap();
            let read = SwarmExtension::from_der(extension).unwrap();
            prop_assert_eq!(read.roles, identity.roles);
            prop_assert_eq!(read.wireguard_public_key, identity.wireguard_public_key);
            prop_assert!(reader.finish().is_ok());
        }
    }
}
