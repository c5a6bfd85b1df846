//! The handshake, Noise_IKpsk2 (white paper, section 5.4.2 to 5.4.5): messages written and read,
//! keys made. The MACs at their ends are [`super::cookie`]'s.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::cookie::MacKeys;
use super::primitives::{
    Secret, TAG_LEN, agree_on, hash, kdf1, kdf2, kdf3, open, public_key, seal,
};
use crate::core::wire::{INITIATION_LEN, RESPONSE_LEN, TYPE_INITIATION, TYPE_RESPONSE, u32_at};
use crate::key::{PresharedKey, PrivateKey, PublicKey};

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// The chaining key and the hash that every handshake begins with.
static BEGINNING: LazyLock<([u8; 32], [u8; 32])> = LazyLock::new(|| {
    let chain = hash(&[CONSTRUCTION]);
    (chain, hash(&[&chain, IDENTIFIER]))
});

/// A date as handshakes carry it: TAI64N, 12 bytes that compare as the dates do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Tai64n([u8; 12]);

impl Tai64n {
    /// The resolution of a date, in nanoseconds: coarse, so that it tells little about the
    /// sender's clock, and as fine as initiations to one peer are apart.
    const GRAIN: u32 = 1 << 24;

    /// A date before 1970 counts as 1970.
    pub(crate) fn new(date: SystemTime) -> Self {
        let since = date
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut bytes = [0u8; 12];
        let seconds = (1u64 << 62) + 10 + since.as_secs();
        let nanos = since.subsec_nanos() & !(Self::GRAIN - 1);
        bytes[..8].copy_from_slice(&seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&nanos.to_be_bytes());
        Self(bytes)
    }

    /// The shortest time after which a date differs.
    pub(crate) const fn grain() -> Duration {
        Duration::from_nanos(Self::GRAIN as u64)
    }
}

/// The keys of a session, one for each direction.
pub(crate) struct Keys {
    pub(crate) sending: Secret,
    pub(crate) receiving: Secret,
}

/// What a handshake has come to: the chaining key and the hash of everything so far.
struct Transcript {
    chain: Secret,
    hash: [u8; 32],
}

impl Transcript {
    fn begin(responder: &[u8; 32]) -> Self {
        let (chain, hash_0) = &*BEGINNING;
        Self {
            chain: Zeroizing::new(*chain),
            hash: hash(&[hash_0, responder]),
        }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    fn mix_ephemeral(&mut self, public: &[u8; 32]) {
        self.chain = kdf1(&self.chain, public);
        self.mix_hash(public);
    }

    fn mix_chain(&mut self, secret: &[u8; 32]) {
        self.chain = kdf1(&self.chain, secret);
    }

    /// Mixes a secret in; returns a key for what follows.
    fn mix_key(&mut self, secret: &[u8; 32]) -> Secret {
        let (chain, key) = kdf2(&self.chain, secret);
        self.chain = chain;
        key
    }

    /// Seals `sealed`, but the tag at its end, and mixes it in.
    fn seal(&mut self, key: &[u8; 32], sealed: &mut [u8]) {
        seal(key, sealed, &self.hash);
        self.mix_hash(sealed);
    }

    fn open<const N: usize>(
        &mut self,
        key: &[u8; 32],
        sealed: &[u8],
    ) -> Option<Zeroizing<[u8; N]>> {
        let plain = open(key, sealed, &self.hash)?;
        self.mix_hash(sealed);
        Some(plain)
    }

    /// Mixes the pre-shared key in; returns the key that seals the response.
    fn mix_preshared(&mut self, preshared: Option<&PresharedKey>) -> Secret {
        let zero = [0u8; 32];
        let (chain, tau, key) = kdf3(
            &self.chain,
            preshared.map_or(&zero[..], |key| key.as_bytes()),
        );
        self.chain = chain;
        self.mix_hash(&tau[..]);
        key
    }

    /// The keys for messages from the initiator, and to it.
    fn split(&self) -> (Secret, Secret) {
        kdf2(&self.chain, &[])
    }
}

/// Our own key pair.
pub(crate) struct Identity {
    /// Whether there is a private key at all.
    usable: bool,
    secret: Secret,
    public: [u8; 32],
    mac_keys: MacKeys,
}

impl Identity {
    pub(crate) fn new(private_key: &PrivateKey) -> Self {
        let secret = Zeroizing::new(*private_key.as_bytes());
        let public = public_key(&secret);
        Self {
            usable: !private_key.is_none(),
            secret,
            public,
            mac_keys: MacKeys::new(&public),
        }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.public)
    }

    /// The keys of the MACs on messages for us.
    pub(crate) fn mac_keys(&self) -> &MacKeys {
        &self.mac_keys
    }

    /// The secret shared with a peer for as long as both keep their keys; `None` for a key that
    /// nobody can hold, or without a key of our own.
    pub(crate) fn agree_with(&self, peer: &PublicKey) -> Option<Secret> {
        self.usable
            .then(|| agree_on(&self.secret, peer.as_bytes()))?
    }

    /// Reads whom an initiation claims to come from. Whoever knows our public key can claim to
    /// be anybody: it proves nothing yet.
    pub(crate) fn claim(&self, initiation: &[u8]) -> Option<Claim> {
        if !self.usable {
            return None;
        }
        let initiation: &[u8; INITIATION_LEN] = initiation.try_into().ok()?;
        let ephemeral = *initiation[8..].first_chunk::<32>()?;
        let mut transcript = Transcript::begin(&self.public);
        transcript.mix_ephemeral(&ephemeral);
        let key = transcript.mix_key(&*agree_on(&self.secret, &ephemeral)?);
        let initiator = transcript.open::<32>(&key, &initiation[40..88])?;
        Some(Claim {
            initiator: PublicKey::from_bytes(*initiator),
            sender: u32_at(initiation, 4)?,
            ephemeral,
            stamp: *initiation[88..].first_chunk()?,
            transcript,
        })
    }
}

/// Whom an initiation claims to come from.
pub(crate) struct Claim {
    pub(crate) initiator: PublicKey,
    sender: u32,
    ephemeral: [u8; 32],
    stamp: [u8; 12 + TAG_LEN],
    transcript: Transcript,
}

impl Claim {
    /// Checks the claim by the secret shared with the peer: the date of the initiation, which
    /// must be later than that of any before.
    pub(crate) fn prove(&mut self, shared: &Secret) -> Option<Tai64n> {
        let key = self.transcript.mix_key(shared);
        let stamp = self.transcript.open::<12>(&key, &self.stamp)?;
        Some(Tai64n(*stamp))
    }

    /// Writes the response to a claim that was proved, all but its MACs, and makes the keys.
    /// Returns the peer's index with them.
    pub(crate) fn respond(
        mut self,
        preshared: Option<&PresharedKey>,
        local: u32,
        ephemeral: &Secret,
        out: &mut [u8; RESPONSE_LEN],
    ) -> Option<(Keys, u32)> {
        let public = public_key(ephemeral);
        let transcript = &mut self.transcript;
        transcript.mix_ephemeral(&public);
        transcript.mix_chain(&*agree_on(ephemeral, &self.ephemeral)?);
        transcript.mix_chain(&*agree_on(ephemeral, self.initiator.as_bytes())?);
        let key = transcript.mix_preshared(preshared);
        out[..4].copy_from_slice(&TYPE_RESPONSE);
        out[4..8].copy_from_slice(&local.to_le_bytes());
        out[8..12].copy_from_slice(&self.sender.to_le_bytes());
        out[12..44].copy_from_slice(&public);
        transcript.seal(&key, &mut out[44..60]);
        let (receiving, sending) = transcript.split();
        let keys = Keys { sending, receiving };
        Some((keys, self.sender))
    }
}

/// An initiation under way, by us.
pub(crate) struct Initiation {
    /// The index by which the response is addressed.
    pub(crate) local: u32,
    ephemeral: Secret,
    transcript: Transcript,
}

impl Initiation {
    /// Writes an initiation, all but its MACs. `shared` is what [`Identity::agree_with`] says
    /// of the peer.
    pub(crate) fn write(
        identity: &Identity,
        peer: &PublicKey,
        shared: &Secret,
        stamp: Tai64n,
        local: u32,
        ephemeral: Secret,
        out: &mut [u8; INITIATION_LEN],
    ) -> Option<Self> {
        let public = public_key(&ephemeral);
        let mut transcript = Transcript::begin(peer.as_bytes());
        transcript.mix_ephemeral(&public);
        out[..4].copy_from_slice(&TYPE_INITIATION);
        out[4..8].copy_from_slice(&local.to_le_bytes());
        out[8..40].copy_from_slice(&public);
        let key = transcript.mix_key(&*agree_on(&ephemeral, peer.as_bytes())?);
        out[40..72].copy_from_slice(&identity.public);
        transcript.seal(&key, &mut out[40..88]);
        let key = transcript.mix_key(shared);
        out[88..100].copy_from_slice(&stamp.0);
        transcript.seal(&key, &mut out[88..116]);
        Some(Self {
            local,
            ephemeral,
            transcript,
        })
    }

    /// Reads the response, and makes the keys; `None` when it does not authenticate. Returns
    /// the peer's index with them.
    pub(crate) fn complete(
        &self,
        identity: &Identity,
        preshared: Option<&PresharedKey>,
        response: &[u8],
    ) -> Option<(Keys, u32)> {
        let response: &[u8; RESPONSE_LEN] = response.try_into().ok()?;
        let ephemeral = response[12..].first_chunk::<32>()?;
        let mut transcript = Transcript {
            chain: self.transcript.chain.clone(),
            hash: self.transcript.hash,
        };
        transcript.mix_ephemeral(ephemeral);
        transcript.mix_chain(&*agree_on(&self.ephemeral, ephemeral)?);
        transcript.mix_chain(&*agree_on(&identity.secret, ephemeral)?);
        let key = transcript.mix_preshared(preshared);
        transcript.open::<0>(&key, &response[44..60])?;
        let (sending, receiving) = transcript.split();
        let keys = Keys { sending, receiving };
        Some((keys, u32_at(response, 4)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Party {
        identity: Identity,
        shared: Secret,
    }

    fn parties() -> (Party, Party) {
        let [a, b] = [[1; 32], [2; 32]].map(|key| Identity::new(&PrivateKey::from_bytes(key)));
        let (ab, ba) = (
            a.agree_with(&b.public_key()).unwrap(),
            b.agree_with(&a.public_key()).unwrap(),
        );
        assert_eq!(*ab, *ba);
        (
            Party {
                identity: a,
                shared: ab,
            },
            Party {
                identity: b,
                shared: ba,
            },
        )
    }

    fn initiate(from: &Party, to: &Party) -> (Initiation, [u8; INITIATION_LEN]) {
        let mut message = [0; INITIATION_LEN];
        let stamp = Tai64n::new(SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        let initiation = Initiation::write(
            &from.identity,
            &to.identity.public_key(),
            &from.shared,
            stamp,
            77,
            Zeroizing::new([3; 32]),
            &mut message,
        );
        (initiation.unwrap(), message)
    }

    #[test]
    fn both_sides_come_to_the_same_keys_and_a_wrong_pre_shared_key_to_none() {
        let (a, b) = parties();
        let preshared = PresharedKey::from_bytes([9; 32]);
        let (initiation, message) = initiate(&a, &b);
        let mut claim = b.identity.claim(&message).unwrap();
        assert_eq!(claim.initiator, a.identity.public_key());
        assert!(claim.prove(&b.shared).is_some());
        let mut response = [0; RESPONSE_LEN];
        let (theirs, index) = claim
            .respond(
                Some(&preshared),
                88,
                &Zeroizing::new([4; 32]),
                &mut response,
            )
            .unwrap();
        assert_eq!(index, 77);
        assert!(initiation.complete(&a.identity, None, &response).is_none());
        let (ours, index) = initiation
            .complete(&a.identity, Some(&preshared), &response)
            .unwrap();
        assert_eq!(index, 88);
        assert_eq!(*ours.sending, *theirs.receiving);
        assert_eq!(*ours.receiving, *theirs.sending);
        assert_ne!(*ours.sending, *ours.receiving);
    }

    #[test]
    fn a_changed_bit_anywhere_before_the_macs_is_noticed() {
        let (a, b) = parties();
        let (_, message) = initiate(&a, &b);
        for at in 8..116 {
            let mut changed = message;
            changed[at] ^= 1;
            let proved = b
                .identity
                .claim(&changed)
                .and_then(|mut claim| claim.prove(&b.shared));
            assert!(proved.is_none(), "byte {at}");
        }
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let (a, b) = parties();
        let (_, mut message) = initiate(&a, &b);
        message[8..40].fill(0);
        assert!(b.identity.claim(&message).is_none());
        assert!(
            a.identity
                .agree_with(&PublicKey::from_bytes([0; 32]))
                .is_none()
        );
    }

    #[test]
    fn dates_compare_as_their_bytes() {
        let at = |nanos| Tai64n::new(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
        assert!(at(0) < at(1 << 24));
        assert_eq!(at(1), at(2));
        assert!(at(999_999_999) < at(1_000_000_000));
        assert_eq!(at(0).0[..8], (0x4000_0000_0000_000au64).to_be_bytes());
    }
}
