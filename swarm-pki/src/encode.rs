//! Signed X.509 structures to DER, with issuer and subject bytes exactly as they were given.

use const_oid::ObjectIdentifier;
use der::Encode;
use der::asn1::OctetString;
use x509_cert::ext::Extension;

use crate::asn1::{Writer, tag};
use crate::key::{SignError, Signer};
use crate::{Certificate, SerialNumber, Validity};

/// Room for a certificate with a few names, so that its buffer does not grow.
const USUAL_CERTIFICATE: usize = 1_024;

/// Everything of a certificate but its extensions and its signature.
pub(crate) struct CertificateFields<'a> {
    pub(crate) serial: SerialNumber,
    /// DER of the issuer's name.
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    /// DER of the subject's name.
    pub(crate) subject: &'a [u8],
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) spki: &'a [u8],
}

impl CertificateFields<'_> {
    /// Signs a certificate with the extensions that `extensions` writes.
    pub(crate) fn sign(
        self,
        signer: &dyn Signer,
        extensions: impl FnOnce(&mut Writer),
    ) -> Result<Certificate, SignError> {
        let mut writer = Writer::with_capacity(USUAL_CERTIFICATE);
        writer.sequence(|tbs| {
            tbs.nested(tag::context(0), |version| version.integer(&[2]));
            tbs.integer(self.serial.as_bytes());
            tbs.raw(signer.public_key().algorithm().signature_algorithm_der());
            tbs.raw(self.issuer);
            tbs.sequence(|validity| {
                validity.time(self.validity.not_before);
                validity.time(self.validity.not_after);
            });
            tbs.raw(self.subject);
            tbs.raw(self.spki);
            tbs.nested(tag::context(3), |wrapped| wrapped.sequence(extensions));
        });
        let der = sign(&writer.into_der(), signer)?;
        Certificate::from_der(&der).map_err(SignError::new)
    }
}

/// Signs a DER value and wraps it as `SEQUENCE { value, algorithm, signature }`.
pub(crate) fn sign(tbs: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let signature = signer.sign(tbs)?;
    let mut writer = Writer::with_capacity(tbs.len() + signature.len() + 32);
    writer.sequence(|signed| {
        signed.raw(tbs);
        signed.raw(signer.public_key().algorithm().signature_algorithm_der());
        signed.octets(&signature);
    });
    Ok(writer.into_der())
}

/// Makes an extension of a value that der can encode.
pub(crate) fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Extension {
    let der = value.to_der().expect("a small value of this crate's own");
    Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new(der).expect("below der's limit"),
    }
}
