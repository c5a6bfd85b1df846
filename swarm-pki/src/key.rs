//! Keys: P-256 and Ed25519, PKCS#8 plain or encrypted, and the seam for remote signers.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use der::asn1::BitStringRef;
use der::pem::LineEnding;
use der::{Decode, Encode};
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// The longest key file that is read, in bytes of PEM or DER.
pub const MAX_KEY_BYTES: usize = 16 * 1024;

/// Ceilings on what an encrypted key file may ask of the machine that opens it.
const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;
const MAX_SCRYPT_BYTES: u64 = 256 * 1024 * 1024;

/// A key could not be read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are not a PKCS#8 key or SubjectPublicKeyInfo, or have something after it.
    #[error("not a well-formed key")]
    Malformed,
    /// The PEM label is another than the one expected.
    #[error("expected a PEM block {expected:?}")]
    WrongPemLabel {
        /// The label that was expected.
        expected: &'static str,
    },
    /// The file is longer than [`MAX_KEY_BYTES`].
    #[error("key of {0} bytes is longer than {MAX_KEY_BYTES}")]
    TooLong(usize),
    /// Neither P-256 nor Ed25519.
    #[error("key algorithm {0} is not accepted; P-256 and Ed25519 are")]
    UnsupportedAlgorithm(String),
    /// The key is encrypted, and no passphrase was given.
    #[error("the key is encrypted and needs its passphrase")]
    Encrypted,
    /// The passphrase is wrong, or the file was damaged.
    #[error("the passphrase is wrong or the key file is damaged")]
    WrongPassphrase,
    /// The encrypted file asks for more work or memory than a key of ours ever needs.
    #[error("the key file asks for an excessive key derivation")]
    ExcessiveDerivation,
    /// The cryptographic library failed, for want of randomness or memory.
    #[error("the cryptographic library failed")]
    Library,
}

/// A signer could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the signer failed")]
pub struct SignError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SignError {
    /// Wraps what the signer said.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

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

    fn from_raw(algorithm: KeyAlgorithm, raw: &[u8]) -> Result<Self, KeyError> {
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

/// Something that signs with a key it need not show: a key in memory, a token, a remote service.
pub trait Signer: Send + Sync {
    /// Returns the public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not its digest); ECDSA signatures in their DER form.
    ///
    /// # Errors
    /// [`SignError`] with the signer's own reason.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl<T: Signer + ?Sized> Signer for Arc<T> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        (**self).sign(message)
    }
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key in memory; zeroized when dropped, never shown by `Debug`.
pub struct PrivateKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
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

    /// Parses one PEM block `ENCRYPTED PRIVATE KEY`: PBES2 with scrypt or PBKDF2, AES-CBC.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`]; [`KeyError::ExcessiveDerivation`] for a file made to stall
    /// its reader; else as [`from_pkcs8_der`](Self::from_pkcs8_der).
    pub fn from_encrypted_pem(pem: &str, passphrase: &[u8]) -> Result<Self, KeyError> {
        let ("ENCRYPTED PRIVATE KEY", der) = read_pem(pem)? else {
            return Err(KeyError::WrongPemLabel {
                expected: "ENCRYPTED PRIVATE KEY",
            });
        };
        let info = EncryptedPrivateKeyInfoRef::from_der(&der).map_err(|_| KeyError::Malformed)?;
        let scheme = info.encryption_algorithm.pbes2().ok_or_else(|| {
            KeyError::UnsupportedAlgorithm(info.encryption_algorithm.oid().to_string())
        })?;
        let excessive = match &scheme.kdf {
            pbes2::Kdf::Pbkdf2(params) => params.iteration_count > MAX_PBKDF2_ITERATIONS,
            pbes2::Kdf::Scrypt(params) => {
                let bytes = u64::from(params.block_size)
                    .saturating_mul(128)
                    .saturating_mul(params.cost_parameter);
                bytes > MAX_SCRYPT_BYTES || params.parallelization > 16
            }
            _ => true,
        };
        if excessive {
            return Err(KeyError::ExcessiveDerivation);
        }
        let plain = info
            .decrypt(passphrase)
            .map_err(|_| KeyError::WrongPassphrase)?;
        Self::from_pkcs8_der(plain.as_bytes())
    }

    /// Returns the PKCS#8 version 1 DER.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// Returns the PEM block `PRIVATE KEY`.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(write_pem("PRIVATE KEY", &self.pkcs8))
    }

    /// Returns the PEM block `ENCRYPTED PRIVATE KEY`: PBES2 with scrypt (N = 2^14, r = 8, p = 1;
    /// 16 MiB, what OpenSSL opens by default) and AES-256-CBC.
    ///
    /// `randomness` becomes the salt and the initialization vector: fresh for every call.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_encrypted_pem(
        &self,
        passphrase: &[u8],
        randomness: [u8; 32],
    ) -> Result<Zeroizing<String>, KeyError> {
        let (salt, iv) = randomness.split_at(16);
        let iv = iv.try_into().expect("32 bytes split at 16");
        let cost = scrypt::Params::new(14, 8, 1).map_err(|_| KeyError::Library)?;
        let params = pbes2::Parameters::generate_scrypt_aes256cbc(cost, salt, iv)
            .map_err(|_| KeyError::Library)?;
        let encrypted = PrivateKeyInfoRef::from_der(&self.pkcs8)
            .expect("written by this type")
            .encrypt_with_params(params, passphrase)
            .map_err(|_| KeyError::Library)?;
        Ok(Zeroizing::new(write_pem(
            "ENCRYPTED PRIVATE KEY",
            encrypted.as_bytes(),
        )))
    }

    /// Returns the key's algorithm.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm
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

fn read_pem(pem: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyError> {
    if pem.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong(pem.len()));
    }
    let (label, der) = der::pem::decode_vec(pem.as_bytes()).map_err(|_| KeyError::Malformed)?;
    Ok((label, Zeroizing::new(der)))
}

/// Writes one PEM block with `\n` line ends.
pub(crate) fn write_pem(label: &'static str, der: &[u8]) -> String {
    der::pem::encode_string(label, LineEnding::LF, der)
        .expect("a constant label and a size below der's limit")
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
    fn an_encrypted_key_opens_with_its_passphrase_alone() {
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let sealed = key.to_encrypted_pem(b"correct horse", [7; 32]).unwrap();
        let opened = PrivateKey::from_encrypted_pem(&sealed, b"correct horse").unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        let wrong = PrivateKey::from_encrypted_pem(&sealed, b"battery staple");
        assert!(matches!(wrong, Err(KeyError::WrongPassphrase)));
        assert!(matches!(
            PrivateKey::from_pem(&sealed),
            Err(KeyError::Encrypted)
        ));
    }

    #[test]
    fn debug_shows_the_algorithm_alone() {
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(Ed25519)");
    }

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
