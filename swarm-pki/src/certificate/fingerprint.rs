//! The name of a certificate's exact bytes.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// The SHA-256 of a certificate's DER; prints and parses as 64 hexadecimal digits.
///
/// Good for naming and pinning a certificate. Revocation never goes by it: a signature can be
/// rewritten into another valid form, which changes the fingerprint and not the certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint of 64 hexadecimal digits")]
pub struct FingerprintError;

impl Fingerprint {
    /// Computes the fingerprint of a certificate's DER.
    pub fn of(der: &[u8]) -> Self {
        let digest = digest(&SHA256, der);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 octets"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;
    /// Accepts either case, and colons between the octets as OpenSSL prints them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain: String = text.chars().take(128).filter(|c| *c != ':').collect();
        let mut octets = [0; 32];
        hex::decode_to_slice(plain, &mut octets).map_err(|_| FingerprintError)?;
        Ok(Self(octets))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}
