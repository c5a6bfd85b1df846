//! Hash, MAC, key derivation, the AEAD of the handshake and Diffie-Hellman, as the white paper
//! names them (section 5.4).

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey as Scalar, UnparsedPublicKey, X25519, agree};
use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use hmac::{Mac, SimpleHmac};
use zeroize::Zeroizing;

/// Length of an AEAD tag, in bytes.
pub(super) const TAG_LEN: usize = 16;

/// A secret of 32 bytes, wiped when dropped.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// `Hash`: BLAKE2s-256 over the concatenation.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2s256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// `Mac`: keyed BLAKE2s-128. A key is at most 32 bytes long.
pub(super) fn mac(key: &[u8], data: &[u8]) -> [u8; 16] {
    let mut mac = <Blake2sMac<U16> as Mac>::new_from_slice(key).expect("a key of 16 or 32 bytes");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Secret {
    let mut mac = <SimpleHmac<Blake2s256> as Mac>::new_from_slice(key).expect("HMAC takes any key");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// `Kdf1`.
pub(super) fn kdf1(key: &[u8; 32], input: &[u8]) -> Secret {
    let root = hmac(key, &[input]);
    hmac(&root, &[&[1]])
}

/// `Kdf2`.
pub(super) fn kdf2(key: &[u8; 32], input: &[u8]) -> (Secret, Secret) {
    let root = hmac(key, &[input]);
    let first = hmac(&root, &[&[1]]);
    let second = hmac(&root, &[&first[..], &[2]]);
    (first, second)
}

/// `Kdf3`.
pub(super) fn kdf3(key: &[u8; 32], input: &[u8]) -> (Secret, Secret, Secret) {
    let root = hmac(key, &[input]);
    let first = hmac(&root, &[&[1]]);
    let second = hmac(&root, &[&first[..], &[2]]);
    let third = hmac(&root, &[&second[..], &[3]]);
    (first, second, third)
}

/// A key for ChaCha20-Poly1305 (RFC 8439).
pub(super) fn aead_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has its length"))
}

/// The nonce of a message: four zero bytes and the counter, little-endian.
pub(super) fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0u8; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// `Aead` with counter 0: seals all of `sealed` but the tag at its end.
pub(super) fn seal(key: &[u8; 32], sealed: &mut [u8], hash: &[u8; 32]) {
    let (plain, tag) = sealed.split_at_mut(sealed.len() - TAG_LEN);
    let made = aead_key(key)
        .seal_in_place_separate_tag(nonce(0), Aad::from(hash), plain)
        .expect("a handshake message is short");
    tag.copy_from_slice(made.as_ref());
}

/// The inverse of [`seal`]: the plaintext, `None` when it is not authentic.
pub(super) fn open<const N: usize>(
    key: &[u8; 32],
    sealed: &[u8],
    hash: &[u8; 32],
) -> Option<Zeroizing<[u8; N]>> {
    let mut room = Zeroizing::new([0u8; 64]);
    let room = room.get_mut(..sealed.len())?;
    room.copy_from_slice(sealed);
    let plain = aead_key(key)
        .open_in_place(nonce(0), Aad::from(hash), room)
        .ok()?;
    Some(Zeroizing::new(*plain.first_chunk::<N>()?))
}

/// `DH`: X25519 (RFC 7748). `None` for a public key of small order, whose result is zero.
pub(super) fn agree_on(secret: &[u8; 32], public: &[u8; 32]) -> Option<Secret> {
    let scalar = Scalar::from_private_key(&X25519, secret).ok()?;
    agree(
        &scalar,
        UnparsedPublicKey::new(&X25519, public),
        (),
        |shared| {
            shared
                .first_chunk::<32>()
                .map(|bytes| Zeroizing::new(*bytes))
                .ok_or(())
        },
    )
    .ok()
    .filter(|shared| **shared != [0; 32])
}

/// The public key of a private one.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    let scalar = Scalar::from_private_key(&X25519, secret).expect("any 32 bytes are a scalar");
    let public = scalar
        .compute_public_key()
        .expect("every scalar has a public key");
    *public
        .as_ref()
        .first_chunk()
        .expect("a public key has 32 bytes")
}
