//! One pass over a certificate's DER (RFC 5280 §4.1).

use std::sync::Arc;

use const_oid::ObjectIdentifier;
use rustls_pki_types::CertificateDer;

use super::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES, Parsed};
use crate::asn1::{Malformed, Reader, tag};
use crate::identity::SWARM_EXTENSION;
use crate::{SerialNumber, Timestamp};

/// Where something lies in the DER, so that it is used exactly as it was signed; 32 bits do for
/// [`MAX_CERTIFICATE_BYTES`].
#[derive(Clone, Copy)]
pub(super) struct Part {
    start: u32,
    end: u32,
}

impl Part {
    pub(super) fn of(self, der: &[u8]) -> &[u8] {
        &der[self.start as usize..self.end as usize]
    }
}

impl From<std::ops::Range<usize>> for Part {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self {
            start: range.start as u32,
            end: range.end as u32,
        }
    }
}

pub(super) struct Parts {
    pub(super) tbs: Part,
    pub(super) issuer: Part,
    pub(super) subject: Part,
    pub(super) spki: Part,
    pub(super) algorithm: Part,
    pub(super) signature: Part,
    pub(super) subject_key_id: Option<Part>,
    pub(super) authority_key_id: Option<Part>,
}

/// How many authorities may follow below this one.
#[derive(Clone, Copy)]
pub(super) struct PathLength(pub(super) Option<u8>);

/// The key usage (RFC 5280 §4.2.1.3): bit 0 is the highest.
#[derive(Clone, Copy)]
pub(crate) struct KeyUsage(u16);

impl KeyUsage {
    pub(crate) fn digital_signature(self) -> bool {
        self.0 & 1 << 15 != 0
    }

    pub(crate) fn key_cert_sign(self) -> bool {
        self.0 & 1 << 10 != 0
    }

    pub(crate) fn crl_sign(self) -> bool {
        self.0 & 1 << 9 != 0
    }
}

/// The contents of the extensions that a stricter reader of leaves looks at.
#[derive(Default)]
pub(crate) struct Extensions<'a> {
    pub(crate) subject_alternative_name: Option<&'a [u8]>,
    pub(crate) extended_key_usage: Option<&'a [u8]>,
    pub(crate) swarm: Option<&'a [u8]>,
    /// A critical one that this crate does not know.
    pub(crate) unknown_critical: Option<&'a [u8]>,
}

impl From<Malformed> for CertificateError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

pub(super) struct Fields {
    parts: Parts,
    serial: SerialNumber,
    not_before: Timestamp,
    not_after: Timestamp,
    authority: Option<PathLength>,
    key_usage: Option<KeyUsage>,
}

pub(super) fn parse(der: &[u8]) -> Result<(Certificate, Extensions<'_>), CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::TooLong(der.len()));
    }
    let (fields, extensions) = parts(der)?;
    let certificate = Certificate(Arc::new(Parsed {
        der: CertificateDer::from(der.to_vec()),
        parts: fields.parts,
        serial: fields.serial,
        not_before: fields.not_before,
        not_after: fields.not_after,
        authority: fields.authority,
        key_usage: fields.key_usage,
    }));
    Ok((certificate, extensions))
}

pub(super) fn parts(der: &[u8]) -> Result<(Fields, Extensions<'_>), CertificateError> {
    let mut reader = Reader::new(der);
    let mut outer = reader.nested(tag::SEQUENCE)?;
    reader.finish()?;
    let tbs = outer.value(tag::SEQUENCE)?;
    let algorithm = outer.algorithm()?;
    let signature = outer.octets()?;
    outer.finish()?;

    let mut fields = outer_part(der, &tbs.content);
    match fields.optional(tag::context(0))? {
        Some([tag::INTEGER, 1, 2]) => {}
        _ => return Err(CertificateError::Version),
    }
    let serial =
        SerialNumber::from_der_integer(fields.integer()?).map_err(|_| CertificateError::Serial)?;
    let inner_algorithm = fields.algorithm()?;
    if fields.bytes(inner_algorithm) != fields.bytes(algorithm.clone()) {
        return Err(CertificateError::SignatureAlgorithms);
    }
    let issuer = fields.name()?;
    let mut validity = fields.nested(tag::SEQUENCE)?;
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    validity.finish()?;
    if not_after < not_before {
        return Err(CertificateError::Validity);
    }
    let subject = fields.name()?;
    let spki = fields.value(tag::SEQUENCE)?;
    let mut key = fields.within(spki.content.clone());
    key.algorithm()?;
    key.content(tag::BIT_STRING)?;
    key.finish()?;
    // issuerUniqueID, subjectUniqueID
    fields.optional(tag::implicit(1))?;
    fields.optional(tag::implicit(2))?;
    let mut found = Fields {
        parts: Parts {
            tbs: tbs.whole.into(),
            issuer: issuer.into(),
            subject: subject.into(),
            spki: spki.whole.into(),
            algorithm: algorithm.into(),
            signature: signature.into(),
            subject_key_id: None,
            authority_key_id: None,
        },
        serial,
        not_before,
        not_after,
        authority: None,
        key_usage: None,
    };
    let mut extensions = Extensions::default();
    if fields.peek() == Some(tag::context(3)) {
        let mut wrapped = fields.nested(tag::context(3))?;
        let list = wrapped.nested(tag::SEQUENCE)?;
        wrapped.finish()?;
        read_extensions(der, list, &mut found, &mut extensions)?;
    }
    fields.finish()?;
    Ok((found, extensions))
}

fn outer_part<'a>(der: &'a [u8], part: &std::ops::Range<usize>) -> Reader<'a> {
    Reader::new(der).within(part.clone())
}

const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];

fn read_extensions<'a>(
    der: &'a [u8],
    mut list: Reader<'a>,
    fields: &mut Fields,
    extensions: &mut Extensions<'a>,
) -> Result<(), CertificateError> {
    let mut seen: Vec<&[u8]> = Vec::with_capacity(8);
    while !list.is_empty() {
        let (oid, critical, content) = list.extension()?;
        seen.push(oid);
        let mut value = Reader::new(content);
        match oid {
            SUBJECT_KEY_ID => {
                fields.parts.subject_key_id = Some(part_of(der, value.content(tag::OCTET_STRING)?));
                value.finish()?;
            }
            KEY_USAGE => fields.key_usage = Some(read_key_usage(value)?),
            SUBJECT_ALTERNATIVE_NAME => extensions.subject_alternative_name = Some(content),
            BASIC_CONSTRAINTS => fields.authority = read_basic_constraints(value)?,
            AUTHORITY_KEY_ID => {
                fields.parts.authority_key_id =
                    read_authority_key_id(value)?.map(|id| part_of(der, id));
            }
            EXTENDED_KEY_USAGE => extensions.extended_key_usage = Some(content),
            oid if oid == SWARM_EXTENSION.as_bytes() => extensions.swarm = Some(content),
            oid => {
                ObjectIdentifier::from_bytes(oid).map_err(|_| CertificateError::Malformed)?;
                if critical {
                    extensions.unknown_critical = extensions.unknown_critical.or(Some(oid));
                }
            }
        }
    }
    seen.sort_unstable();
    if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(CertificateError::RepeatedExtension(oid_text(twice[0])));
    }
    Ok(())
}

/// Where a slice of `der` lies in it.
fn part_of(der: &[u8], slice: &[u8]) -> Part {
    let start = slice.as_ptr() as usize - der.as_ptr() as usize;
    (start..start + slice.len()).into()
}

/// An object identifier as people write it.
pub(crate) fn oid_text(oid: &[u8]) -> String {
    ObjectIdentifier::from_bytes(oid).map_or_else(|_| hex::encode(oid), |oid| oid.to_string())
}

fn read_key_usage(mut value: Reader<'_>) -> Result<KeyUsage, Malformed> {
    let bits = value.content(tag::BIT_STRING)?;
    value.finish()?;
    match *bits {
        [0] => Ok(KeyUsage(0)),
        [unused @ 0..=7, one] if one.trailing_zeros() >= unused.into() => {
            Ok(KeyUsage(u16::from_be_bytes([one, 0])))
        }
        [unused @ 0..=7, one, two] if two.trailing_zeros() >= unused.into() => {
            Ok(KeyUsage(u16::from_be_bytes([one, two])))
        }
        _ => Err(Malformed),
    }
}

fn read_basic_constraints(mut value: Reader<'_>) -> Result<Option<PathLength>, Malformed> {
    let mut fields = value.nested(tag::SEQUENCE)?;
    value.finish()?;
    let is_authority = fields.peek() == Some(tag::BOOLEAN) && fields.boolean()?;
    let length = match fields.peek() {
        Some(tag::INTEGER) => Some(u8::try_from(fields.unsigned()?).map_err(|_| Malformed)?),
        _ => None,
    };
    fields.finish()?;
    Ok(is_authority.then_some(PathLength(length)))
}

/// Reads the key identifier of an AuthorityKeyIdentifier, if there is one.
pub(crate) fn read_authority_key_id(mut value: Reader<'_>) -> Result<Option<&[u8]>, Malformed> {
    let mut fields = value.nested(tag::SEQUENCE)?;
    value.finish()?;
    let id = fields.optional(tag::implicit(0))?;
    fields.optional(tag::context(1))?;
    fields.optional(tag::implicit(2))?;
    fields.finish()?;
    Ok(id)
}
