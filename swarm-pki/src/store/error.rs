//! What can go wrong with an authority on disk.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::{AuthorityError, KeyError, NodeId, SerialNumber, Timestamp};

/// An operation of a [`Store`](super::Store) failed. Nothing was changed, save that a refusal is
/// in the audit log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process works on the store and did not finish within the wait.
    #[error("{path} is held by process {pid}")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder's process id, 0 when it has not said.
        pid: u32,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not as this crate left it. It is never repaired by guess.
    #[error("{path} was damaged or edited: {what}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A secret file is readable by others.
    #[error("{path} has mode {mode:o}; 600 is needed")]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The directory holds no authority.
    #[error("{0} holds no authority")]
    NotInitialized(PathBuf),
    /// The directory holds an authority, or something else.
    #[error("{0} exists and is not empty")]
    NotEmpty(PathBuf),
    /// The store was written by a later version of this crate.
    #[error("version {0} of the store is not known")]
    UnsupportedVersion(u32),
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness,
    /// A key could not be read, written or made.
    #[error("the key in {path} cannot be used")]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The root's key is encrypted, and no passphrase was given.
    #[error("the root key is encrypted and needs its passphrase")]
    PassphraseNeeded,
    /// The authority could not issue or sign.
    #[error("the authority could not issue")]
    Authority(#[from] AuthorityError),
    /// A live certificate with another key has this name. Renew it, or revoke it first.
    #[error("the node {id} has a live certificate ({serial}) for another key")]
    IdInUse {
        /// The name.
        id: NodeId,
        /// The live certificate.
        serial: SerialNumber,
    },
    /// Another live node has this TLS key or this WireGuard key.
    #[error("the {key} key belongs to the live node {holder}")]
    KeyInUse {
        /// Which of the keys: `TLS` or `WireGuard`.
        key: &'static str,
        /// Who has it.
        holder: NodeId,
    },
    /// Another live node has this address.
    #[error("the address {address} belongs to the live node {holder}")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// Who has it.
        holder: NodeId,
    },
    /// Another live node has this DNS name.
    #[error("the DNS name {name} belongs to the live node {holder}")]
    DnsNameInUse {
        /// The name.
        name: crate::DnsName,
        /// Who has it.
        holder: NodeId,
    },
    /// No certificate was ever issued for this node.
    #[error("no certificate was issued for the node {0}")]
    UnknownNode(NodeId),
    /// No certificate with this serial number was ever issued here.
    #[error("no certificate with serial number {0} was issued here")]
    UnknownSerial(SerialNumber),
    /// Everything that could be revoked is revoked or expired already.
    #[error("{0} has no live certificate: revoked or expired already")]
    NothingToRevoke(String),
    /// The certificate that is to be renewed was revoked.
    #[error("the certificate {0} was revoked")]
    Revoked(SerialNumber),
    /// No issuing authority has this generation.
    #[error("there is no issuing authority of generation {0}")]
    UnknownAuthority(u32),
    /// The current issuing authority was revoked; rotate first.
    #[error("the current issuing authority was revoked")]
    IssuingRevoked,
    /// The text is no invite secret.
    #[error("not an invite secret")]
    InviteMalformed,
    /// No such invite was made here.
    #[error("the invite is not known")]
    InviteUnknown,
    /// The invite exists, the secret is wrong.
    #[error("the invite's secret is wrong")]
    InviteWrong,
    /// The invite was redeemed already, for another key.
    #[error("the invite was used already")]
    InviteSpent {
        /// When.
        at: Timestamp,
    },
    /// The invite was not redeemed in time.
    #[error("the invite expired at {0}")]
    InviteExpired(Timestamp),
    /// The node was revoked after it had been invited.
    #[error("the invite was cancelled when its node was revoked")]
    InviteCancelled,
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            what: what.into(),
        }
    }

    /// Tells whether this is a decision about a request rather than a failure of the machine;
    /// such refusals are in the audit log.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Held { .. }
                | Self::Io { .. }
                | Self::Corrupt { .. }
                | Self::Permissions { .. }
                | Self::NotInitialized(_)
                | Self::NotEmpty(_)
                | Self::UnsupportedVersion(_)
                | Self::Randomness
                | Self::Key { .. }
        )
    }
}
