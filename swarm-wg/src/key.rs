//! Keys: Curve25519 key pairs and pre-shared symmetric keys, base64 as `wg` prints them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of every key, in bytes.
pub const KEY_LEN: usize = 32;

/// What is wrong with the text of a key.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("a key is 32 bytes in base64 or 64 hexadecimal digits")]
#[non_exhaustive]
pub struct InvalidKey;

fn from_base64(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, InvalidKey> {
    // 32 bytes are 44 characters; the decoder asks for room for a whole last quantum.
    let mut buffer = Zeroizing::new([0u8; KEY_LEN + 1]);
    if text.len() != 44 {
        return Err(InvalidKey);
    }
    let length = STANDARD
        .decode_slice(text, buffer.as_mut_slice())
        .map_err(|_| InvalidKey)?;
    if length != KEY_LEN {
        return Err(InvalidKey);
    }
    let mut key = Zeroizing::new([0u8; KEY_LEN]);
    key.copy_from_slice(&buffer[..KEY_LEN]);
    Ok(key)
}

/// Reads 64 hexadecimal digits, the form of the configuration protocol.
#[cfg(feature = "uapi")]
pub(crate) fn from_hex(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, InvalidKey> {
    let mut key = Zeroizing::new([0u8; KEY_LEN]);
    hex::decode_to_slice(text, key.as_mut_slice()).map_err(|_| InvalidKey)?;
    Ok(key)
}

fn to_base64(key: &[u8; KEY_LEN]) -> String {
    STANDARD.encode(key)
}

/// A Curve25519 private key.
///
/// Zeroized when dropped; `Debug` shows nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey([u8; KEY_LEN]);

impl PrivateKey {
    /// Takes 32 bytes as a private key; they are clamped as X25519 (RFC 7748, section 5) wants.
    pub fn from_bytes(mut bytes: [u8; KEY_LEN]) -> Self {
        let mut key = Self(bytes);
        bytes.zeroize();
        key.0[0] &= 0xf8;
        key.0[31] = (key.0[31] & 0x7f) | 0x40;
        key
    }

    /// Makes a new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`](crate::Error::Randomness) when the system has none to give.
    #[cfg(feature = "tun")]
    pub fn generate() -> Result<Self, crate::Error> {
        let mut bytes = Zeroizing::new([0u8; KEY_LEN]);
        crate::io::fill_random(bytes.as_mut_slice())?;
        Ok(Self::from_bytes(*bytes))
    }

    /// No key: what a tunnel has before it is given one. No handshake is made with it.
    pub const fn none() -> Self {
        Self([0; KEY_LEN])
    }

    /// Whether this is [no key](Self::none).
    pub fn is_none(&self) -> bool {
        self.0 == [0; KEY_LEN]
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(crate::core::noise::public_key(&self.0))
    }

    /// The key as base64, the form of `wg genkey`; the text is zeroized when dropped.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(to_base64(&self.0))
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Ok(Self::from_bytes(*from_base64(text)?))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

/// A Curve25519 public key: the name of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Takes 32 bytes as a public key.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl From<[u8; KEY_LEN]> for PublicKey {
    fn from(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Ok(Self(*from_base64(text)?))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base64(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A symmetric key that two peers share beforehand, mixed into the handshake.
///
/// Zeroized when dropped; `Debug` shows nothing of it. All zeros mean the same as no key,
/// as in the protocol itself.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey([u8; KEY_LEN]);

impl PresharedKey {
    /// Takes 32 bytes as a pre-shared key.
    pub fn from_bytes(mut bytes: [u8; KEY_LEN]) -> Self {
        let key = Self(bytes);
        bytes.zeroize();
        key
    }

    /// Makes a new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`](crate::Error::Randomness) when the system has none to give.
    #[cfg(feature = "tun")]
    pub fn generate() -> Result<Self, crate::Error> {
        let mut bytes = Zeroizing::new([0u8; KEY_LEN]);
        crate::io::fill_random(bytes.as_mut_slice())?;
        Ok(Self::from_bytes(*bytes))
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The key as base64, the form of `wg genpsk`; the text is zeroized when dropped.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(to_base64(&self.0))
    }

    /// Whether the two are the same key, in time that does not depend on their bytes.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0u8, |d, (a, b)| d | (a ^ b));
        difference == 0
    }
}

impl FromStr for PresharedKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Ok(Self::from_bytes(*from_base64(text)?))
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // RFC 7748, section 6.1.
    const ALICE_PRIVATE: &str = "77076d0a7318a57d3c16c17251b26645df4c3a8f7f4d6f5a9a8d5ec0c5a2a21a";

    #[test]
    fn public_keys_agree_with_wg_pubkey() {
        // `wg pubkey` of this private key, as printed by wireguard-tools.
        let private: PrivateKey = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
            .parse()
            .unwrap();
        assert_eq!(
            private.public_key().to_string(),
            "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
        );
    }

    #[test]
    fn debug_shows_nothing_of_secrets() {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(ALICE_PRIVATE, &mut bytes).unwrap();
        assert_eq!(
            format!("{:?}", PrivateKey::from_bytes(bytes)),
            "PrivateKey(hidden)"
        );
        assert_eq!(
            format!("{:?}", PresharedKey::from_bytes(bytes)),
            "PresharedKey(hidden)"
        );
    }

    #[test]
    fn text_of_any_other_length_is_refused() {
        for text in [
            "",
            "AAAA",
            "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk",
            &"A".repeat(48),
        ] {
            assert_eq!(text.parse::<PublicKey>().unwrap_err(), InvalidKey);
        }
    }

    proptest! {
        #[test]
        fn base64_goes_both_ways(bytes: [u8; 32]) {
            let key = PublicKey::from_bytes(bytes);
            prop_assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
            let private = PrivateKey::from_bytes(bytes);
            let again: PrivateKey = private.to_base64().parse().unwrap();
            prop_assert_eq!(again.as_bytes(), private.as_bytes());
        }
    }
}
