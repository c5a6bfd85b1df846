//! What a node certificate says, typed; to X.509 and back.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
};
use der::asn1::{Ia5String, OctetString, OctetStringRef, Utf8StringRef};
use der::{Decode, Reader, Sequence, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use crate::encode::extension;
use crate::{Certificate, CertificateError, DnsName, NameError, NodeId, Role, SpiffeId, SwarmName};

/// The extension that carries WireGuard key and roles: 2.25.1398231629, the bytes `SWRM` as an
/// arc below the UUID arc. It stays below 2^31 because Go refuses certificates with larger arcs.
pub const SWARM_EXTENSION_OID: &str = "2.25.1398231629";

pub(crate) const SWARM_EXTENSION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap(SWARM_EXTENSION_OID);

/// The version of the extension's content that this crate writes and reads.
const EXTENSION_VERSION: u8 = 1;

/// The most DNS names that one node certificate may carry.
pub const MAX_DNS_NAMES: usize = 16;
/// The most addresses that one node certificate may carry.
pub const MAX_ADDRESSES: usize = 16;
/// The most roles that one node certificate may carry.
pub const MAX_ROLES: usize = 32;

/// The certificate is X.509, but not a node certificate; says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not even a certificate.
    #[error("not a certificate")]
    Certificate(#[from] CertificateError),
    /// The extension or the names are not well-formed DER.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The certificate has another number of URI names than one.
    #[error("{0} URI names instead of one")]
    UriNames(usize),
    /// The URI is not a node's SPIFFE id, a DNS name or a role is not of its form.
    #[error("a name is not of its form")]
    Name(#[from] NameError),
    /// A kind of name that a node certificate has no use for, such as e-mail.
    #[error("a subject alternative name of another kind than URI, DNS or IP")]
    UnsupportedName,
    /// More of something than a node may have.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most that are accepted.
        most: usize,
    },
    /// Something that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The extension is of a version that this crate does not know.
    #[error("version {0} of the identity extension is not known")]
    UnsupportedVersion(u8),
    /// The WireGuard key is not 32 bytes, or all zero.
    #[error("not a WireGuard public key")]
    WireguardKey,
    /// Roles, DNS names or addresses are repeated, or roles are out of order.
    #[error("{0} are repeated or out of order")]
    Order(&'static str),
    /// The usages are not those of a node; says which is missing or too much.
    #[error("wrong key usage: {0}")]
    Usage(&'static str),
    /// A critical extension that this crate does not understand.
    #[error("critical extension {0} is not understood")]
    UnknownCriticalExtension(String),
}

impl From<der::Error> for IdentityError {
    fn from(_: der::Error) -> Self {
        Self::Malformed("identity extension")
    }
}

/// Who a node is: all that its certificate says about it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeIdentity {
    /// The swarm that the node belongs to.
    pub swarm: SwarmName,
    /// The node's name within the swarm.
    pub id: NodeId,
    /// DNS names, the node's own first; at most [`MAX_DNS_NAMES`], none twice.
    pub dns: Vec<DnsName>,
    /// Addresses inside the mesh, the node's own first; at most [`MAX_ADDRESSES`], none twice.
    pub addresses: Vec<IpAddr>,
    /// The X25519 public key of the node's tunnel.
    pub wireguard_public_key: [u8; 32],
    /// What the node is for; at most [`MAX_ROLES`].
    pub roles: BTreeSet<Role>,
}

impl NodeIdentity {
    /// Makes an identity without DNS names, addresses and roles; fill in the fields.
    pub fn new(swarm: SwarmName, id: NodeId, wireguard_public_key: [u8; 32]) -> Self {
        Self {
            swarm,
            id,
            dns: Vec::new(),
            addresses: Vec::new(),
            wireguard_public_key,
            roles: BTreeSet::new(),
        }
    }

    /// Returns the URI that names the node: `spiffe://<swarm>/node/<id>`.
    pub fn spiffe_id(&self) -> SpiffeId {
        SpiffeId::new(self.swarm.clone(), self.id.clone())
    }

    /// Tells whether the node has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.as_str() == role)
    }

    /// Checks the limits that the types alone do not hold.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        check_list("DNS names", &self.dns, MAX_DNS_NAMES)?;
        check_list("addresses", &self.addresses, MAX_ADDRESSES)?;
        if self.roles.len() > MAX_ROLES {
            return Err(IdentityError::TooMany {
                what: "roles",
                most: MAX_ROLES,
            });
        }
        if self.wireguard_public_key == [0; 32] {
            return Err(IdentityError::WireguardKey);
        }
        Ok(())
    }

    /// Returns the subject alternative name and the swarm extension.
    pub(crate) fn to_extensions(&self) -> [Extension; 2] {
        let ia5 = |text: &str| Ia5String::new(text).expect("names are ASCII");
        let uri = self.spiffe_id().to_string();
        let mut names = vec![GeneralName::UniformResourceIdentifier(ia5(&uri))];
        names.extend(
            self.dns
                .iter()
                .map(|name| GeneralName::DnsName(ia5(name.as_str()))),
        );
        names.extend(self.addresses.iter().map(|address| {
            let octets = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            GeneralName::IpAddress(OctetString::new(octets).expect("an address is short"))
        }));
        [
            extension(ID_CE_SUBJECT_ALT_NAME, false, &SubjectAltName(names)),
            SwarmExtension {
                wireguard_public_key: self.wireguard_public_key,
                roles: self.roles.clone(),
            }
            .to_extension(),
        ]
    }
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity")
            .field("spiffe_id", &self.spiffe_id().to_string())
            .field("dns", &self.dns)
            .field("addresses", &self.addresses)
            .field(
                "wireguard_public_key",
                &hex::encode(self.wireguard_public_key),
            )
            .field("roles", &self.roles)
            .finish()
    }
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

#[derive(Sequence)]
struct SwarmExtensionDer<'a> {
    version: u8,
    wireguard_public_key: &'a OctetStringRef,
    roles: Vec<Utf8StringRef<'a>>,
}

impl SwarmExtension {
    pub(crate) fn to_extension(&self) -> Extension {
        let value = SwarmExtensionDer {
            version: EXTENSION_VERSION,
            wireguard_public_key: OctetStringRef::new(&self.wireguard_public_key)
                .expect("32 bytes"),
            roles: self
                .roles
                .iter()
                .map(|role| Utf8StringRef::new(role.as_str()).expect("a role is short"))
                .collect(),
        };
        extension(SWARM_EXTENSION, false, &value)
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = SliceReader::new(der)?;
        let content = reader.sequence(|fields| {
            let version = u8::decode(fields)?;
            if version != EXTENSION_VERSION {
                return Err(IdentityError::UnsupportedVersion(version));
            }
            let key = <&OctetStringRef>::decode(fields)?;
            let wireguard_public_key = key
                .as_bytes()
                .try_into()
                .map_err(|_| IdentityError::WireguardKey)?;
            if wireguard_public_key == [0; 32] {
                return Err(IdentityError::WireguardKey);
            }
            let mut roles = BTreeSet::new();
            fields.sequence(|list| {
                while !list.is_finished() {
                    let role: Role = Utf8StringRef::decode(list)?.as_str().parse()?;
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
                Ok(())
            })?;
            Ok(Self {
                wireguard_public_key,
                roles,
            })
        })?;
        reader.finish()?;
        Ok(content)
    }
}

/// A certificate that is a node certificate in every respect its bytes can show: one SPIFFE URI,
/// only DNS and IP names beside it, the swarm extension, the usages of a node, no authority.
///
/// Whether to believe it is [`Trust::verify`](crate::Trust::verify)'s business.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    certificate: Certificate,
    identity: std::sync::Arc<NodeIdentity>,
}

impl NodeCertificate {
    /// Parses exactly one DER certificate, strictly.
    ///
    /// # Errors
    /// [`IdentityError`] names what is missing or too much.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (certificate, x509) = Certificate::parse(der)?;
        let identity = read_identity(&certificate, &x509)?;
        Ok(Self {
            certificate,
            identity: identity.into(),
        })
    }

    /// Parses one PEM block `CERTIFICATE`, strictly.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        Self::try_from(&Certificate::from_pem(pem)?)
    }

    /// Returns the certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns what it says about the node.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// Returns the node's name.
    pub fn id(&self) -> &NodeId {
        &self.identity.id
    }
}

impl TryFrom<&Certificate> for NodeCertificate {
    type Error = IdentityError;
    fn try_from(certificate: &Certificate) -> Result<Self, IdentityError> {
        let x509 = x509_cert::Certificate::from_der(certificate.der())
            .map_err(|_| CertificateError::Malformed)?;
        let identity = read_identity(certificate, &x509)?;
        Ok(Self {
            certificate: certificate.clone(),
            identity: identity.into(),
        })
    }
}

impl std::ops::Deref for NodeCertificate {
    type Target = Certificate;
    fn deref(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCertificate")
            .field("id", &self.identity.id)
            .field("serial", &self.certificate.serial())
            .field("not_after", &self.certificate.not_after())
            .finish_non_exhaustive()
    }
}

fn read_identity(
    certificate: &Certificate,
    x509: &x509_cert::Certificate,
) -> Result<NodeIdentity, IdentityError> {
    let mut names = None;
    let mut swarm_extension = None;
    let mut purposes = None;
    for extension in x509.tbs_certificate().extensions().into_iter().flatten() {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            ID_CE_SUBJECT_ALT_NAME => {
                let san = SubjectAltName::from_der(value)
                    .map_err(|_| IdentityError::Malformed("subject alternative name"))?;
                names = Some(san.0);
            }
            SWARM_EXTENSION => swarm_extension = Some(SwarmExtension::from_der(value)?),
            ID_CE_EXT_KEY_USAGE => {
                let usage = ExtendedKeyUsage::from_der(value)
                    .map_err(|_| IdentityError::Malformed("extended key usage"))?;
                purposes = Some(usage.0);
            }
            ID_CE_BASIC_CONSTRAINTS
            | ID_CE_KEY_USAGE
            | ID_CE_SUBJECT_KEY_IDENTIFIER
            | ID_CE_AUTHORITY_KEY_IDENTIFIER => {}
            oid if extension.critical => {
                return Err(IdentityError::UnknownCriticalExtension(oid.to_string()));
            }
            _ => {}
        }
    }
    if certificate.is_authority() {
        return Err(IdentityError::Usage("a node is no authority"));
    }
    let usage = certificate
        .key_usage()
        .ok_or(IdentityError::Missing("key usage"))?;
    if !usage.digital_signature() {
        return Err(IdentityError::Usage("digitalSignature is missing"));
    }
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(IdentityError::Usage("a node signs no certificates"));
    }
    let purposes = purposes.ok_or(IdentityError::Missing("extended key usage"))?;
    if !purposes.contains(&ID_KP_SERVER_AUTH) || !purposes.contains(&ID_KP_CLIENT_AUTH) {
        return Err(IdentityError::Usage(
            "serverAuth and clientAuth are both needed",
        ));
    }
    let extension = swarm_extension.ok_or(IdentityError::Missing("the identity extension"))?;
    let names = names.ok_or(IdentityError::Missing("the subject alternative name"))?;
    let (spiffe, dns, addresses) = read_names(&names)?;
    let identity = NodeIdentity {
        swarm: spiffe.swarm,
        id: spiffe.node,
        dns,
        addresses,
        wireguard_public_key: extension.wireguard_public_key,
        roles: extension.roles,
    };
    identity.check()?;
    Ok(identity)
}

type Names = (SpiffeId, Vec<DnsName>, Vec<IpAddr>);

fn read_names(names: &[GeneralName]) -> Result<Names, IdentityError> {
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
    Ok((uri.parse::<SpiffeId>()?, dns, addresses))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(key: &[u8], roles: &[&str], version: u8) -> Vec<u8> {
        use der::Encode;
        SwarmExtensionDer {
            version,
            wireguard_public_key: OctetStringRef::new(key).unwrap(),
            roles: roles
                .iter()
                .map(|role| Utf8StringRef::new(*role).unwrap())
                .collect(),
        }
        .to_der()
        .unwrap()
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

    #[test]
    fn repeated_and_overlong_lists_are_refused() {
        let mut identity = NodeIdentity::new(
            "testers".parse().unwrap(),
            "edge1".parse().unwrap(),
            [7; 32],
        );
        assert_eq!(identity.check(), Ok(()));
        identity.addresses = vec![[10, 0, 0, 1].into(); 2];
        assert_eq!(identity.check(), Err(IdentityError::Order("addresses")));
        identity.addresses = (0..=MAX_ADDRESSES as u8)
            .map(|n| [10, 0, 0, n].into())
            .collect();
        assert!(matches!(
            identity.check(),
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
            let [san, extension] = identity.to_extensions();
            let names = SubjectAltName::from_der(san.extn_value.as_bytes()).unwrap();
            let (spiffe, dns, addresses) = read_names(&names.0).unwrap();
            prop_assert_eq!(spiffe, identity.spiffe_id());
            prop_assert_eq!(dns, identity.dns);
            prop_assert_eq!(addresses, identity.addresses);
            let read = SwarmExtension::from_der(extension.extn_value.as_bytes()).unwrap();
            prop_assert_eq!(read.roles, identity.roles);
            prop_assert_eq!(read.wireguard_public_key, identity.wireguard_public_key);
        }

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
