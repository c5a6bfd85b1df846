//! Ids that no other message has.

use crate::MessageId;
use arrayvec::ArrayString;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
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
        text.push_str(&self.prefix);
        push_hex(&mut text, number);
        MessageId::from_checked(&text)
    }

    /// A token that cannot be guessed.
    pub(super) fn token(&self) -> String {
        let random: [u8; 10] = random_bytes();
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Adds a number in hexadecimal digits, which [`std::fmt`] takes several times as long for.
pub(super) fn push_hex<const N: usize>(to: &mut ArrayString<N>, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        let digit = (number >> (4 * at)) as usize & 0xf;
        to.push(char::from(b"0123456789abcdef"[digit]));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_the_standard_library_writes_them(number in any::<u64>(), bits in 0..64) {
            let number = number >> bits;
            let mut text = ArrayString::<16>::new();
            push_hex(&mut text, number);
            prop_assert_eq!(text.as_str(), format!("{number:x}"));
        }
    }

    #[test]
    fn ids_differ() {
        let (ids, others) = (IdSource::new(), IdSource::new());
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert_ne!(first, others.next());
        assert!(MessageId::parse(first.as_str()).is_ok());
    }
}
