//! Ids that no other message has.

use crate::MessageId;
use arrayvec::ArrayString;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes ids: 96 random bits once, in 16 characters, then a number. The first 268 million are short
/// enough to lie in a [`MessageId`] itself.
pub(super) struct IdSource {
    prefix: String,
    next: AtomicU64,
}

impl IdSource {
    pub(super) fn new() -> Self {
        let random: [u8; 12] = random_bytes();
        Self {
            prefix: BASE64_URL_SAFE_NO_PAD.encode(random),
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> MessageId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = ArrayString::<32>::new();
        write!(text, "{}{number:x}", self.prefix).expect("16 characters and 16 digits have room");
        MessageId::from_checked(&text)
    }

    /// A token that cannot be guessed.
    pub(super) fn token(&self) -> String {
        let random: [u8; 10] = random_bytes();
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

pub(crate) fn random_u32() -> u32 {
    u32::from_ne_bytes(random_bytes())
}
