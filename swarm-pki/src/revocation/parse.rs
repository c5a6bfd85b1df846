//! One pass over a revocation list's DER (RFC 5280 §5.1).

use const_oid::db::rfc5280::{ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS};
use rustls_pki_types::CertificateRevocationListDer;

use super::list::{Entry, Parsed};
use super::{CrlError, MAX_CRL_BYTES, RevocationReason};
use crate::asn1::{Malformed, Reader, tag};
use crate::certificate::{oid_text, read_authority_key_id};
use crate::{SerialNumber, Timestamp};

/// Octets of the shortest entry: what is claimed to be a long list reserves no more than it can
/// have.
const SHORTEST_ENTRY: usize = 20;

impl From<Malformed> for CrlError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

pub(super) fn parse(der: &[u8]) -> Result<Parsed, CrlError> {
    if der.len() > MAX_CRL_BYTES {
        return Err(CrlError::TooLong(der.len()));
    }
    let mut reader = Reader::new(der);
    let mut outer = reader.nested(tag::SEQUENCE)?;
    reader.finish()?;
    let tbs = outer.value(tag::SEQUENCE)?;
    let mut fields = outer.within(tbs.content.clone());
    let algorithm = outer.algorithm()?;
    let signature = outer.octets()?;
    outer.finish()?;

    // Version 2, which has extensions.
    if fields.unsigned()? != 1 {
        return Err(CrlError::Malformed);
    }
    let inner_algorithm = fields.algorithm()?;
    if fields.bytes(inner_algorithm) != fields.bytes(algorithm.clone()) {
        return Err(CrlError::Malformed);
    }
    let issuer = fields.name()?;
    let this_update = fields.time()?;
    let next_update = match fields.peek() {
        Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => Some(fields.time()?),
        _ => None,
    };
    let revoked = match fields.peek() {
        Some(tag::SEQUENCE) => read_entries(fields.nested(tag::SEQUENCE)?)?,
        _ => Box::default(),
    };
    let (number, authority_key_id) = match fields.peek() {
        Some(_) => {
            let mut wrapped = fields.nested(tag::context(0))?;
            let list = wrapped.nested(tag::SEQUENCE)?;
            wrapped.finish()?;
            read_extensions(list)?
        }
        None => (None, None),
    };
    fields.finish()?;
    Ok(Parsed {
        tbs: tbs.whole,
        issuer,
        authority_key_id: authority_key_id
            .ok_or(CrlError::Missing("authority key identifier"))?
            .into(),
        number: number.ok_or(CrlError::Missing("number"))?,
        this_update,
        next_update: next_update.ok_or(CrlError::Missing("next update"))?,
        revoked,
        algorithm,
        signature,
        der: CertificateRevocationListDer::from(der.to_vec()),
    })
}

type Number<'a> = (Option<u64>, Option<&'a [u8]>);

fn read_extensions(mut list: Reader<'_>) -> Result<Number<'_>, CrlError> {
    let mut number = None;
    let mut authority_key_id = None;
    let mut seen: Vec<&[u8]> = Vec::new();
    while !list.is_empty() {
        let (oid, critical, content) = list.extension()?;
        seen.push(oid);
        let mut value = Reader::new(content);
        if oid == ID_CE_CRL_NUMBER.as_bytes() {
            number = Some(value.unsigned()?);
            value.finish()?;
        } else if oid == ID_CE_AUTHORITY_KEY_IDENTIFIER.as_bytes() {
            authority_key_id = read_authority_key_id(value)?;
        } else if critical {
            return Err(CrlError::UnknownCriticalExtension(oid_text(oid)));
        }
    }
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(CrlError::Malformed);
    }
    Ok((number, authority_key_id))
}

fn read_entries(mut list: Reader<'_>) -> Result<Box<[Entry]>, CrlError> {
    let mut entries = Vec::with_capacity(list.len() / SHORTEST_ENTRY);
    let mut is_sorted = true;
    let mut last: Option<SerialNumber> = None;
    while !list.is_empty() {
        let entry = read_entry(list.nested(tag::SEQUENCE)?)?;
        is_sorted &= last.is_none_or(|last| last < entry.serial);
        last = Some(entry.serial);
        entries.push(entry);
    }
    if !is_sorted {
        entries.sort_by_key(|entry| entry.serial);
        entries.dedup_by_key(|entry| entry.serial);
    }
    Ok(entries.into_boxed_slice())
}

fn read_entry(mut fields: Reader<'_>) -> Result<Entry, CrlError> {
    let serial =
        SerialNumber::from_der_integer(fields.integer()?).map_err(|_| CrlError::Malformed)?;
    let at: Timestamp = fields.time()?;
    let mut reason = RevocationReason::Unspecified;
    if !fields.is_empty() {
        let mut extensions = fields.nested(tag::SEQUENCE)?;
        while !extensions.is_empty() {
            let (oid, critical, content) = extensions.extension()?;
            if oid == ID_CE_CRL_REASONS.as_bytes() {
                let mut value = Reader::new(content);
                reason = match value.content(tag::ENUMERATED)? {
                    [code] => RevocationReason::from_code(*code).ok_or(CrlError::Malformed)?,
                    _ => return Err(CrlError::Malformed),
                };
                value.finish()?;
            } else if critical {
                return Err(CrlError::UnknownCriticalExtension(oid_text(oid)));
            }
        }
    }
    fields.finish()?;
    Ok(Entry { serial, reason, at })
}
