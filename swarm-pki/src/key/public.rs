//! Public keys and their algorithms.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use der::asn1::BitStringRef;
use der::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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

/// A public key of an accepted algorithm, as the DER of its SubjectPublicKeyInfo.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki: Arc<[u8]>,
    /// Where in `spki` the key's own bytes (point or Ed25519 key) begin.
    raw_at: usize,
}

impl PublicKey {
    /// Parses a DER SubjectPublicKeyInfo: P-256 (uncompressed point) or Ed25519, judged by the
    /// parsed key algorithm and not by any signature's.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] and [`KeyError::UnsupportedAlgorithm`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let raw_len = match spki.algorithm.oid {
            ID_ED25519 if spki.algorithm.parameters.is_none() => 32,
            ID_EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
                Ok(SECP256R1) => 65,
                Ok(curve) => return Err(KeyError::UnsupportedAlgorithm(format!("EC {curve}"))),
                Err(_) => return Err(KeyError::Malformed),
            },
            oid => return Err(KeyError::UnsupportedAlgorithm(oid.to_string())),
        };
        let raw = spki
            .subject_public_key
            .as_bytes()
            .ok_or(KeyError::Malformed)?;
        if raw.len() != raw_len {
            return Err(KeyError::Malformed);
        }
        let algorithm = if raw_len == 65 {
            KeyAlgorithm::P256
        } else {
            KeyAlgorithm::Ed25519
        };
        // A point off the curve is refused here, not at the first signature.
        UnparsedPublicKey::new(algorithm.verifier(), raw)
            .parse()
            .map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            algorithm,
            spki: der.into(),
            raw_at: der.len() - raw_len,
        })
    }

    pub(super) fn from_raw(algorithm: KeyAlgorithm, raw: &[u8]) -> Result<Self, KeyError> {
        let (oid, curve) = match algorithm {
            KeyAlgorithm::P256 => (ID_EC_PUBLIC_KEY, Some(SECP256R1)),
            KeyAlgorithm::Ed25519 => (ID_ED25519, None),
        };
        let spki = SubjectPublicKeyInfoRef {
            algorithm: spki::AlgorithmIdentifierRef {
                oid,
                parameters: curve.as_ref().map(Into::into),
            },
            subject_public_key: BitStringRef::from_bytes(raw).map_err(|_| KeyError::Malformed)?,
        };
        let der = spki.to_der().map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            algorithm,
            raw_at: der.len() - raw.len(),
            spki: der.into(),
        })
    }

    /// Returns the key's algorithm.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Returns the DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Returns the key identifier: the first 20 bytes of the SHA-256 of the key's own bytes
    /// ([RFC 7093](https://www.rfc-editor.org/rfc/rfc7093) method 1).
    pub fn key_id(&self) -> [u8; 20] {
        let digest = Sha256::digest(&self.spki[self.raw_at..]);
        let mut id = [0; 20];
        id.copy_from_slice(&digest[..20]);
        id
    }

    /// Verifies a signature by this key; ECDSA signatures in their DER form.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm.verifier(), &self.spki[self.raw_at..])
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({} {})",
            self.algorithm,
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
