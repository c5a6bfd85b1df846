//! Public keys and their algorithms.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use der::Decode;
use serde::{Deserialize, Serialize};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

use super::{ID_EC_PUBLIC_KEY, ID_ED25519, KeyError, SECP256R1};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// The algorithm of a key, and with it of its signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256: every TLS stack and browser takes it.
    #[default]
    P256,
    /// Ed25519 ([RFC 8410](https://www.rfc-editor.org/rfc/rfc8410)): rustls, Go and OpenSSL take
    /// it, browsers do not.
    Ed25519,
}

impl KeyAlgorithm {
    /// Returns the X.509 signature algorithm; its parameters are absent for both algorithms.
    pub(crate) fn signature_algorithm(self) -> AlgorithmIdentifierOwned {
        let oid = match self {
            Self::P256 => ECDSA_WITH_SHA256,
            Self::Ed25519 => ID_ED25519,
        };
        AlgorithmIdentifierOwned {
            oid,
            parameters: None,
        }
    }

    const ALL: [Self; 2] = [Self::P256, Self::Ed25519];

    /// Returns the DER of the X.509 signature algorithm.
    pub(crate) fn signature_algorithm_der(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
            Self::Ed25519 => &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70],
        }
    }

    fn spki_prefix(self) -> &'static [u8] {
        match self {
            Self::P256 => &P256_PREFIX,
            Self::Ed25519 => &ED25519_PREFIX,
        }
    }

    /// How long the key's own bytes are.
    fn raw_length(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::Ed25519 => 32,
        }
    }

    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::Ed25519 => &ED25519,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::P256 => "P-256",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// A public key of an accepted algorithm, as the DER of its SubjectPublicKeyInfo. Cheap to clone.
#[derive(Clone)]
pub struct PublicKey(Arc<Parsed>);

struct Parsed {
    algorithm: KeyAlgorithm,
    spki: Box<[u8]>,
    /// Ready to verify: the point was decompressed and checked once.
    key: ParsedPublicKey,
}

/// The SubjectPublicKeyInfo of an uncompressed P-256 point (RFC 5480), up to the point.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), up to the key.
const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

impl PublicKey {
    /// Parses a DER SubjectPublicKeyInfo: P-256 (uncompressed point) or Ed25519, judged by the
    /// parsed key algorithm and not by any signature's.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] and [`KeyError::UnsupportedAlgorithm`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let found = KeyAlgorithm::ALL
            .into_iter()
            .find(|algorithm| der.starts_with(algorithm.spki_prefix()));
        // DER has one form for each key, so all that is accepted begins like this.
        let algorithm = found.ok_or_else(|| what_else(der))?;
        let (raw, expected) = (
            &der[algorithm.spki_prefix().len()..],
            algorithm.raw_length(),
        );
        if raw.len() != expected {
            return Err(KeyError::Malformed);
        }
        // A point off the curve is refused here, not at the first signature.
        let key =
            ParsedPublicKey::new(algorithm.verifier(), raw).map_err(|_| KeyError::Malformed)?;
        Ok(Self(Arc::new(Parsed {
            algorithm,
            spki: der.into(),
            key,
        })))
    }

    pub(super) fn from_raw(algorithm: KeyAlgorithm, raw: &[u8]) -> Result<Self, KeyError> {
        Self::from_spki_der(&[algorithm.spki_prefix(), raw].concat())
    }

    /// Returns the key's algorithm.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm
    }

    /// Returns the DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// Returns the key identifier: the first 20 bytes of the SHA-256 of the key's own bytes
    /// ([RFC 7093](https://www.rfc-editor.org/rfc/rfc7093) method 1).
    pub fn key_id(&self) -> [u8; 20] {
        let raw = &self.0.spki[self.0.algorithm.spki_prefix().len()..];
        let digest = digest(&SHA256, raw);
        let mut id = [0; 20];
        id.copy_from_slice(&digest.as_ref()[..20]);
        id
    }

    /// Verifies a signature by this key; ECDSA signatures in their DER form.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.key.verify_sig(message, signature).is_ok()
    }
}

/// Says what a SubjectPublicKeyInfo is that is not accepted.
fn what_else(der: &[u8]) -> KeyError {
    let Ok(spki) = SubjectPublicKeyInfoRef::from_der(der) else {
        return KeyError::Malformed;
    };
    match spki.algorithm.oid {
        ID_ED25519 => KeyError::Malformed,
        ID_EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
            Ok(curve) if curve != SECP256R1 => {
                KeyError::UnsupportedAlgorithm(format!("EC {curve}"))
            }
            _ => KeyError::Malformed,
        },
        oid => KeyError::UnsupportedAlgorithm(oid.to_string()),
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.spki.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({} {})",
            self.algorithm(),
            hex::encode(self.key_id())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{PrivateKey, Signer};

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let mut spki = key.public_key().spki_der().to_vec();
        *spki.last_mut().unwrap() ^= 1;
        assert!(matches!(
            PublicKey::from_spki_der(&spki),
            Err(KeyError::Malformed)
        ));
        let mut long = key.public_key().spki_der().to_vec();
        long.push(0);
        assert!(matches!(
            PublicKey::from_spki_der(&long),
            Err(KeyError::Malformed)
        ));
    }
}
