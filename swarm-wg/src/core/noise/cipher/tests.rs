//! The cipher against aws-lc-rs's, and its parts against published values.

use proptest::prelude::*;

use super::compare;

#[test]
fn every_length_is_sealed_and_opened_as_the_library_does() {
    for length in (0..=3200).chain([9_000, 65_519, 65_535]) {
        let message: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
        compare(&[length as u8; 32], length as u64, &message, length * 31);
    }
}

proptest! {
    #[test]
    fn any_message_under_any_key_is_sealed_and_opened_as_the_library_does(
        key in any::<[u8; 32]>(),
        counter in any::<u64>(),
        message in prop::collection::vec(any::<u8>(), 0..4000),
        flip in any::<usize>(),
    ) {
        compare(&key, counter, &message, flip);
    }
}

#[test]
fn a_session_takes_the_fastest_cipher_that_there_is() {
    let cipher = super::Cipher::new(&[1; 32]);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512ifma") {
        return assert!(matches!(cipher, super::Cipher::Avx512(_)));
    }
    assert!(matches!(cipher, super::Cipher::Library(_)));
}
