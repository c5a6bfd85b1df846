//! Which keys are strong enough, whoever made them.

use const_oid::ObjectIdentifier;
use der::asn1::UintRef;
use der::{Decode, Reader, SliceReader};
use spki::SubjectPublicKeyInfoRef;

use super::ChainError;
use crate::Certificate;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), // P-256
    ObjectIdentifier::new_unwrap("1.3.132.0.34"),        // P-384
    ObjectIdentifier::new_unwrap("1.3.132.0.35"),        // P-521
];
const MIN_RSA_BITS: usize = 2048;

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakKeyError {
    /// An RSA key that is too short.
    #[error("RSA with {0} bits; {MIN_RSA_BITS} are needed")]
    ShortRsa(usize),
    /// A curve other than P-256, P-384 and P-521.
    #[error("the curve {0} is not accepted")]
    Curve(String),
    /// Neither RSA, nor one of the curves, nor Ed25519.
    #[error("the key algorithm {0} is not accepted")]
    Algorithm(String),
    /// Not a key at all.
    #[error("the key is malformed")]
    Malformed,
}

pub(super) fn check(certificate: &Certificate) -> Result<(), ChainError> {
    check_spki(certificate.spki_der()).map_err(|source| ChainError::WeakKey {
        subject: certificate.subject(),
        source,
    })
}

fn check_spki(der: &[u8]) -> Result<(), WeakKeyError> {
    let malformed = |_| WeakKeyError::Malformed;
    let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(malformed)?;
    match spki.algorithm.oid {
        ED25519 => Ok(()),
        EC => match spki.algorithm.parameters_oid() {
            Ok(curve) if CURVES.contains(&curve) => Ok(()),
            Ok(curve) => Err(WeakKeyError::Curve(curve.to_string())),
            Err(_) => Err(WeakKeyError::Malformed),
        },
        RSA => {
            let key = spki
                .subject_public_key
                .as_bytes()
                .ok_or(WeakKeyError::Malformed)?;
            match rsa_bits(key).map_err(malformed)? {
                bits if bits < MIN_RSA_BITS => Err(WeakKeyError::ShortRsa(bits)),
                _ => Ok(()),
            }
        }
        other => Err(WeakKeyError::Algorithm(other.to_string())),
    }
}

/// Counts the bits of the modulus of an `RSAPublicKey` (RFC 8017, A.1.1).
fn rsa_bits(der: &[u8]) -> der::Result<usize> {
    SliceReader::new(der)?.sequence(|fields| {
        let modulus = UintRef::decode(fields)?;
        UintRef::decode(fields)?;
        let bytes = modulus.as_bytes();
        let leading = bytes
            .first()
            .map_or(0, |first| first.leading_zeros() as usize);
        Ok::<_, der::Error>(bytes.len() * 8 - leading)
    })
}
