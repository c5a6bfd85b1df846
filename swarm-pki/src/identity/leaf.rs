//! What node and service certificates have in common: no authority, a key that signs, names,
//! and usages.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::names::read_names;
use super::usage::read_usages;
use super::{IdentityError, SwarmExtension, Usage};
use crate::certificate::{Extensions, oid_text};
use crate::{Certificate, DnsName};

pub(super) struct Leaf<'a> {
    /// The one URI, as text.
    pub(super) uri: &'a str,
    pub(super) dns: Vec<DnsName>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) usages: BTreeSet<Usage>,
    pub(super) swarm_extension: Option<SwarmExtension>,
}

pub(super) fn read_leaf<'a>(
    certificate: &Certificate,
    extensions: &Extensions<'a>,
) -> Result<Leaf<'a>, IdentityError> {
    if let Some(oid) = extensions.unknown_critical {
        return Err(IdentityError::UnknownCriticalExtension(oid_text(oid)));
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
    let purposes = extensions
        .extended_key_usage
        .ok_or(IdentityError::Missing("extended key usage"))?;
    let usages = read_usages(purposes)?;
    let names = extensions
        .subject_alternative_name
        .ok_or(IdentityError::Missing("the subject alternative name"))?;
    let (uri, dns, addresses) = read_names(names)?;
    Ok(Leaf {
        uri,
        dns,
        addresses,
        usages,
        swarm_extension: extensions.swarm.map(SwarmExtension::from_der).transpose()?,
    })
}
