//! Keys: P-256 and Ed25519, PKCS#8 plain or encrypted, and the seam for remote signers.

mod encrypted;
mod pem;
mod private;
mod public;
mod signer;

use const_oid::ObjectIdentifier;

pub(crate) use pem::write_pem;
pub use private::PrivateKey;
pub use public::{KeyAlgorithm, PublicKey};
pub use signer::{SignError, Signer};

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The longest key file that is read, in bytes of PEM or DER.
pub const MAX_KEY_BYTES: usize = 16 * 1024;

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
