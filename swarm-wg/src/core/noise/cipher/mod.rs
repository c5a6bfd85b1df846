//! The cipher of data messages: ChaCha20-Poly1305 (RFC 8439) without additional data, its nonce
//! four zero bytes and the message's counter.
//!
//! It is most of what a tunnel costs, so where the processor has AVX-512 it is written for that;
//! elsewhere it is aws-lc-rs's.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod tests;

use aws_lc_rs::aead::{Aad, LessSafeKey};

use super::primitives::{TAG_LEN, aead_key, nonce};

/// A key to seal or to open messages with.
pub(crate) enum Cipher {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Key),
    Library(LessSafeKey),
}

impl Cipher {
    /// The fastest that this processor has.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(key) = avx512::Key::new(key) {
            return Self::Avx512(key);
        }
        Self::library(key)
    }

    fn library(key: &[u8; 32]) -> Self {
        Self::Library(aead_key(key))
    }

    /// Encrypts a message in place, and returns its tag. No counter may be used twice.
    pub(crate) fn seal(&self, counter: u64, plain: &mut [u8]) -> [u8; TAG_LEN] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(key) => key.seal(counter, plain),
            Self::Library(key) => {
                let tag = key
                    .seal_in_place_separate_tag(nonce(counter), Aad::empty(), plain)
                    .expect("a packet is far shorter than the cipher's limit");
                *tag.as_ref().first_chunk().expect("a tag has its length")
            }
        }
    }

    /// Decrypts a message in place that ends in its tag: the length of the plaintext, at the
    /// start of `sealed`; `None` when it is not authentic, and `sealed` is then of no use.
    pub(crate) fn open(&self, counter: u64, sealed: &mut [u8]) -> Option<usize> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(key) => {
                let (body, tag) = sealed.split_last_chunk_mut()?;
                key.open(counter, body, tag).then_some(body.len())
            }
            Self::Library(key) => key
                .open_in_place(nonce(counter), Aad::empty(), sealed)
                .ok()
                .map(|plain| plain.len()),
        }
    }
}

/// Seals and opens `message` with each cipher that this machine has, and holds them against each
/// other.
///
/// # Panics
/// When they differ.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn compare(key: &[u8; 32], counter: u64, message: &[u8], flip: usize) {
    let ciphers = [Cipher::new(key), Cipher::library(key)];
    let [ours, library] = ciphers.each_ref().map(|cipher| {
        let mut sealed = message.to_vec();
        let tag = cipher.seal(counter, &mut sealed);
        sealed.extend(tag);
        sealed
    });
    assert_eq!(ours, library, "{} bytes sealed differently", message.len());
    for cipher in &ciphers {
        let mut opened = ours.clone();
        assert_eq!(cipher.open(counter, &mut opened), Some(message.len()));
        assert_eq!(opened[..message.len()], *message);
        let mut changed = ours.clone();
        let bit = flip % (changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(cipher.open(counter, &mut changed), None, "bit {bit}");
        assert_eq!(cipher.open(!counter, &mut ours.clone()), None);
        assert_eq!(
            cipher.open(counter, &mut ours[..ours.len() - 1].to_vec()),
            None
        );
    }
}
