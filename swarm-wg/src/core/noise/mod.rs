//! The cryptography of the protocol (white paper, section 5.4), pure: keys, time and randomness
//! are arguments. Primitives come from aws-lc-rs and the RustCrypto crates, but for the cipher of
//! data messages where the processor has AVX-512.

mod cipher;
mod cookie;
mod entropy;
mod handshake;
mod primitives;
mod replay;
mod session;

#[cfg(any(test, feature = "testing"))]
pub(crate) use cipher::{Cipher, compare as compare_ciphers};
pub(crate) use cookie::{CookieJar, CookieSecret, MacKeys, has_cookie, has_mac, stamp_macs};
pub(crate) use entropy::Entropy;
pub(crate) use handshake::{Claim, Identity, Initiation, Tai64n};
pub(crate) use primitives::public_key;
pub(crate) use session::Session;
