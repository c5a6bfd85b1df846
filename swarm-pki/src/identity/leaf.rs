//! What node and service certificates have in common: no authority, a key that signs, names,
//! and usages.

use std::collections::BTreeSet;
use std::net::IpAddr;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
};
use der::Decode;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use super::names::read_names;
use super::usage::read_usages;
use super::{IdentityError, SWARM_EXTENSION, SwarmExtension, Usage};
use crate::{Certificate, DnsName};

pub(super) struct Leaf {
    /// The one URI, as text.
    pub(super) uri: String,
    pub(super) dns: Vec<DnsName>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) usages: BTreeSet<Usage>,
    pub(super) swarm_extension: Option<SwarmExtension>,
}

pub(super) fn read_leaf(
    certificate: &Certificate,
    x509: &x509_cert::Certificate,
) -> Result<Leaf, IdentityError> {
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
        return Err(IdentityError::Usage("it is an authority"));
    }
    let usage = certificate
        .key_usage()
        .ok_or(IdentityError::Missing("key usage"))?;
    if !usage.digital_signature() {
        return Err(IdentityError::Usage("digitalSignature is missing"));
    }
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(IdentityError::Usage("only an authority signs certificates"));
    }
    let purposes = purposes.ok_or(IdentityError::Missing("extended key usage"))?;
    let usages = read_usages(&purposes)?;
    let names = names.ok_or(IdentityError::Missing("the subject alternative name"))?;
    let (uri, dns, addresses) = read_names(&names)?;
    Ok(Leaf {
        uri: uri.into(),
        dns,
        addresses,
        usages,
        swarm_extension,
    })
}
