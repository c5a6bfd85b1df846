//! Poly1305 against RustCrypto's, which no random message does where carries are rare.

use ::poly1305::Poly1305;
use ::poly1305::universal_hash::KeyInit;
use proptest::prelude::*;

use super::{BLOCK, Key, TAG_LEN};

/// The tag of a message and its length, by both. `None`: this processor lacks the instructions.
fn tags(key: &[u8; 32], message: &[u8]) -> Option<[[u8; TAG_LEN]; 2]> {
    Key::new(&[0; 32])?;
    let mut block = [0; BLOCK];
    block[..32].copy_from_slice(key);
    // SAFETY: there is a key, so the processor has the instructions.
    let ours = unsafe { super::poly1305::tag(&block, message) };
    let mut whole = message.to_vec();
    whole.resize(message.len().next_multiple_of(16), 0);
    whole.extend([0; 8]);
    whole.extend((message.len() as u64).to_le_bytes());
    Some([
        ours,
        Poly1305::new(key.into()).compute_unpadded(&whole).into(),
    ])
}

/// A key that only adds the blocks up: r is one, s is zero.
const SUM: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn sums_around_the_modulus_are_reduced_to_the_one_name_below_it() {
    // With one bit after each, four blocks add 2^130, which is 5.
    for blocks in [7usize, 23, 27, 31, 47, 95] {
        let fives = (blocks as u128).div_ceil(4) * 5;
        let length = (blocks as u128 * 16) << 64;
        for above in -8i128..=8 {
            // 2^130 - 5 + above, in four blocks
            let rest = u128::MAX - length - fives - 1;
            let last = rest.wrapping_add_signed(above);
            let mut message = vec![0u8; blocks * 16];
            message[..48].fill(0xff);
            message[48..64].copy_from_slice(&last.to_le_bytes());
            let Some([ours, reference]) = tags(&SUM, &message) else {
                return eprintln!("skipped: this processor lacks AVX-512 IFMA");
            };
            assert_eq!(ours, reference, "{blocks} blocks, {above} above");
        }
    }
}

/// Bytes most of which are those that carry, or do not by one.
fn extreme(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(0xff),
        3 => Just(0),
        1 => prop::sample::select(vec![1, 4, 5, 0xfa, 0xfb, 0xfc, 0xfe]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, length)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn extreme_messages_under_extreme_keys_have_the_same_tag(
        key in extreme(32),
        message in extreme(0..1600),
    ) {
        if let Some([ours, reference]) = tags(key.first_chunk().unwrap(), &message) {
            prop_assert_eq!(ours, reference);
        }
    }
}
