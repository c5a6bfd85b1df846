//! ChaCha20-Poly1305 for processors with AVX-512 and its 52-bit multiplication (Intel since Ice
//! Lake, AMD since Zen 4).
//!
//! No branch and no address depends on a key or on plaintext: they depend on the message's
//! length alone, and on whether its tag is right.

// The instructions may be used only where the processor has them: Key is the proof.
#![allow(unsafe_code)]

mod chacha20;
mod poly1305;
#[cfg(test)]
mod tests;

use std::arch::is_x86_feature_detected;

use subtle::ConstantTimeEq;

use super::TAG_LEN;
use chacha20::{BLOCK, State, xor};

/// A key, on a processor that has the instructions.
pub(crate) struct Key(State);

impl Key {
    /// `None`: the processor lacks the instructions.
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        let has_them = is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2");
        has_them.then(|| Self(State::new(key)))
    }

    /// Encrypts in place, and returns the tag.
    pub(crate) fn seal(&self, counter: u64, message: &mut [u8]) -> [u8; TAG_LEN] {
        // SAFETY: there is a key, so the processor has the instructions.
        unsafe { seal(&self.0, counter, message) }
    }

    /// Decrypts in place, and returns true; or leaves what is not authentic as it is.
    pub(crate) fn open(&self, counter: u64, message: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
        // SAFETY: as above.
        unsafe { open(&self.0, counter, message, tag) }
    }
}

#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
fn seal(state: &State, nonce: u64, message: &mut [u8]) -> [u8; TAG_LEN] {
    let mut tag_key = [0; BLOCK];
    apply(state, nonce, message, |block, _| {
        tag_key = *block;
        true
    });
    poly1305::tag(&tag_key, message)
}

#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
fn open(state: &State, nonce: u64, message: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
    apply(state, nonce, message, |block, message| {
        poly1305::tag(block, message).ct_eq(tag).into()
    })
}

/// Mixes the keystream into a message, once `check`, which is shown the block that makes the
/// tag's key, has agreed.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn apply(
    state: &State,
    nonce: u64,
    message: &mut [u8],
    check: impl FnOnce(&[u8; BLOCK], &[u8]) -> bool,
) -> bool {
    const SEVEN: usize = 7 * BLOCK;
    const FIFTEEN: usize = 15 * BLOCK;
    let agreed;
    if message.len() <= SEVEN {
        let stream = state.eight(nonce, 0);
        agreed = check(&stream[0], message);
        if agreed {
            xor(message, &stream[1..]);
        }
    } else if message.len() <= FIFTEEN {
        let stream = state.sixteen(nonce, 0);
        agreed = check(&stream[0], message);
        if agreed {
            xor(message, &stream[1..]);
        }
    } else {
        let stream = state.twenty_four(nonce, 0);
        agreed = check(&stream.early[0], message);
        if agreed {
            let (now, later) = message.split_at_mut(FIFTEEN);
            xor(now, &stream.early[1..]);
            let (now, later) = later.split_at_mut(later.len().min(8 * BLOCK));
            xor(now, &stream.late);
            apply_on(state, nonce, later);
        }
    }
    agreed
}

/// The same for what is beyond the first 24 blocks.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn apply_on(state: &State, nonce: u64, message: &mut [u8]) {
    for (chunk, at) in message.chunks_mut(24 * BLOCK).zip((24..).step_by(24)) {
        let stream = state.twenty_four(nonce, at);
        let (now, later) = chunk.split_at_mut(chunk.len().min(16 * BLOCK));
        xor(now, &stream.early);
        xor(later, &stream.late);
    }
}
