//! Signed X.509 structures to DER, with issuer and subject bytes exactly as they were given.

use der::asn1::{AnyRef, BitString, OctetString};
use der::{Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber as X509Serial;
use x509_cert::time::{Time, Validity as X509Validity};

use crate::key::{SignError, Signer};
use crate::{Certificate, SerialNumber, Timestamp, Validity};

#[derive(Sequence)]
struct TbsCertificate<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial: X509Serial,
    signature: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    validity: X509Validity,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Signed<'a> {
    tbs: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Everything of a certificate but its signature.
pub(crate) struct CertificateFields<'a> {
    pub(crate) serial: SerialNumber,
    /// DER of the issuer's name.
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    /// DER of the subject's name.
    pub(crate) subject: &'a [u8],
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) spki: &'a [u8],
    pub(crate) extensions: Vec<Extension>,
}

impl CertificateFields<'_> {
    pub(crate) fn sign(self, signer: &dyn Signer) -> Result<Certificate, SignError> {
        let tbs = TbsCertificate {
            version: Version::V3,
            serial: self.serial.to_x509(),
            signature: signer.public_key().algorithm().signature_algorithm(),
            issuer: AnyRef::from_der(self.issuer).map_err(SignError::new)?,
            validity: X509Validity::new(
                x509_time(self.validity.not_before),
                x509_time(self.validity.not_after),
            ),
            subject: AnyRef::from_der(self.subject).map_err(SignError::new)?,
            spki: AnyRef::from_der(self.spki).map_err(SignError::new)?,
            extensions: self.extensions,
        };
        let der = sign(&tbs.to_der().map_err(SignError::new)?, signer)?;
        Certificate::from_der(&der).map_err(SignError::new)
    }
}

/// Signs a DER value and wraps it as `SEQUENCE { value, algorithm, signature }`.
pub(crate) fn sign(tbs: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let signature = signer.sign(tbs)?;
    Signed {
        tbs: AnyRef::from_der(tbs).map_err(SignError::new)?,
        algorithm: signer.public_key().algorithm().signature_algorithm(),
        signature: BitString::from_bytes(&signature).map_err(SignError::new)?,
    }
    .to_der()
    .map_err(SignError::new)
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
pub(crate) fn x509_time(time: Timestamp) -> Time {
    use der::asn1::{GeneralizedTime, UtcTime};
    let since_epoch = std::time::Duration::from_secs(time.as_unix());
    match UtcTime::from_unix_duration(since_epoch) {
        Ok(utc) => Time::UtcTime(utc),
        Err(_) => Time::GeneralTime(
            GeneralizedTime::from_unix_duration(since_epoch).expect("a time up to the year 9999"),
        ),
    }
}

/// Makes an extension of a value that der can encode.
pub(crate) fn extension(
    oid: const_oid::ObjectIdentifier,
    critical: bool,
    value: &impl Encode,
) -> Extension {
    let der = value.to_der().expect("a small value of this crate's own");
    Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new(der).expect("below der's limit"),
    }
}
