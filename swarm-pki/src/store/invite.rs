//! Invites: a one-time secret stands for a grant.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::event::InviteId;
use super::{Error, Grant};
use crate::{Fingerprint, Timestamp};

/// What an invite shall be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteSpec {
    /// What whoever redeems the invite is certified as.
    pub grant: Grant,
    /// The last second in which the invite can be redeemed.
    pub expires: Timestamp,
}

/// What a valid invite is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InviteInfo {
    /// What whoever redeems the invite is certified as.
    pub grant: Grant,
    /// When the invite was made.
    pub invited_at: Timestamp,
    /// Who made the invite.
    pub requester: String,
    /// The last second in which the invite can be redeemed.
    pub expires: Timestamp,
    /// When it was redeemed, if it was.
    pub spent_at: Option<Timestamp>,
}

/// The one-time secret of an invite: 24 bytes, of which the first 8 find the invite and the other
/// 16 are the secret proper. Its text form is 32 characters of unpadded base64url.
///
/// The store keeps a hash only: the secret is shown once, when the invite is made. Wiped when
/// dropped, compared in constant time, hidden from `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct InviteSecret([u8; 24]);

impl InviteSecret {
    /// The length in bytes.
    pub const LENGTH: usize = 24;

    /// Takes the 24 bytes of a secret that was made earlier, or of fresh randomness.
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        Self(bytes)
    }

    /// Shows the 24 bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 24]> {
        Zeroizing::new(self.0)
    }

    /// Shows the text form.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    pub(super) fn id(&self) -> InviteId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[..8]);
        InviteId(id)
    }

    pub(super) fn digest(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.0[8..]).into())
    }

    pub(super) fn matches(&self, digest: &Fingerprint) -> bool {
        self.digest().0.ct_eq(&digest.0).into()
    }
}

impl PartialEq for InviteSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for InviteSecret {}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret")
    }
}

impl FromStr for InviteSecret {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 24]);
        match text.len() {
            32 => URL_SAFE_NO_PAD
                .decode_slice(text, bytes.as_mut_slice())
                .map_err(|_| Error::InviteMalformed)?,
            _ => return Err(Error::InviteMalformed),
        };
        Ok(Self(*bytes))
    }
}
