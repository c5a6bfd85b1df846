//! Private keys in memory.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use der::Decode;
use pkcs8::PrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::pem::{read_pem, write_pem};
use super::{
    ID_EC_PUBLIC_KEY, ID_ED25519, KeyAlgorithm, KeyError, MAX_KEY_BYTES, PublicKey, SECP256R1,
    SignError, Signer,
};

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key in memory; zeroized when dropped, never shown by `Debug`.
pub struct PrivateKey {
    pair: Pair,
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key with the cryptographic library's own randomness.
    ///
    /// # Errors
    /// [`KeyError::Library`] when the system gives no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let document = match algorithm {
            KeyAlgorithm::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()),
        }
        .map_err(|_| KeyError::Library)?;
        Self::from_pkcs8_der(document.as_ref())
    }

    /// Parses a plain PKCS#8 key, version 1 or 2.
    ///
    /// # Errors
    /// [`KeyError`] for anything but exactly one P-256 or Ed25519 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong(der.len()));
        }
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let (pair, document, public) = match info.algorithm.oid {
            ID_EC_PUBLIC_KEY => {
                match info.algorithm.parameters_oid() {
                    Ok(SECP256R1) => {}
                    Ok(curve) => {
                        return Err(KeyError::UnsupportedAlgorithm(format!("EC {curve}")));
                    }
                    Err(_) => return Err(KeyError::Malformed),
                }
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                    .map_err(|_| KeyError::Malformed)?;
                let document = pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
                let public = PublicKey::from_raw(KeyAlgorithm::P256, pair.public_key().as_ref())?;
                (Pair::P256(pair), document, public)
            }
            ID_ED25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                    .map_err(|_| KeyError::Malformed)?;
                // Version 1: OpenSSL 3.0 cannot read version 2.
                let document = pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
                let public =
                    PublicKey::from_raw(KeyAlgorithm::Ed25519, pair.public_key().as_ref())?;
                (Pair::Ed25519(pair), document, public)
            }
            oid => return Err(KeyError::UnsupportedAlgorithm(oid.to_string())),
        };
        Ok(Self {
            pair,
            pkcs8: Zeroizing::new(document.as_ref().to_vec()),
            public,
        })
    }

    /// Parses one PEM block `PRIVATE KEY`.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`] for an `ENCRYPTED PRIVATE KEY`; else as
    /// [`from_pkcs8_der`](Self::from_pkcs8_der).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match read_pem(pem)? {
            ("PRIVATE KEY", der) => Self::from_pkcs8_der(&der),
            ("ENCRYPTED PRIVATE KEY", _) => Err(KeyError::Encrypted),
            _ => Err(KeyError::WrongPemLabel {
                expected: "PRIVATE KEY",
            }),
        }
    }

    /// Returns the PKCS#8 version 1 DER.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// Returns the PEM block `PRIVATE KEY`.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(write_pem("PRIVATE KEY", &self.pkcs8))
    }

    /// Returns the key's algorithm.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm()
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.pair {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
        }
        .map(|signature| signature.as_ref().to_vec())
        .map_err(|_| SignError::new(KeyError::Library))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_plain_form_and_still_signs() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let again = PrivateKey::from_pem(&key.to_pem()).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            let signature = again.sign(b"message").unwrap();
            assert!(key.public_key().verify(b"message", &signature));
            assert!(!key.public_key().verify(b"massage", &signature));
        }
    }

    #[test]
    fn debug_shows_the_algorithm_alone() {
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(Ed25519)");
    }
}
