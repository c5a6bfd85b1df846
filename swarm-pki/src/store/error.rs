//! What can go wrong with an authority on disk.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{AuthorityId, Holder, PolicyFault};
use crate::rollover::{RolloverPhase, RolloverWaits};
use crate::{AuthorityError, KeyError, NodeId, SerialNumber, ServiceName, Timestamp};

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
    /// A secret file, or the store's directory, is open to others.
    #[error("{path} has mode {mode:o}; {needed:o} is needed")]
    Permissions {
        /// Which file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that keeps others out.
        needed: u32,
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
    /// The root's key is not in the store: it is to be brought.
    #[error("the root key is not in the store{}", Whereabouts(.path.as_deref()))]
    RootKeyAway {
        /// Where it was last put, as far as the store knows.
        path: Option<PathBuf>,
    },
    /// The key that was brought is another one.
    #[error("the key is not that of {0}")]
    NotTheKey(AuthorityId),
    /// This store holds no root: it asks another one.
    #[error("this store is a subordinate's; the root is in another store")]
    NotARoot,
    /// This subordinate has no certificate yet: its request has to be signed by the root.
    #[error("this authority is not certified by its root yet")]
    NotOperational,
    /// A subordinate asked for nothing, or for something else.
    #[error("what the root grants was not asked for: {0}")]
    NotRequested(&'static str),
    /// What came from the root is not believed.
    #[error("the grant is not believed: {0}")]
    GrantNotBelieved(String),
    /// A request or grant for an authority is malformed.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A roll-over is under way already.
    #[error("a roll-over is under way")]
    RolloverUnderWay,
    /// No roll-over is under way.
    #[error("no roll-over is under way")]
    NoRollover,
    /// The roll-over waits for nodes.
    #[error(transparent)]
    RolloverWaits(#[from] RolloverWaits),
    /// The roll-over waits for services of this store.
    #[error("the roll-over waits for {} services, among them {}", .0.len(), .0[0])]
    RolloverWaitsForServices(Vec<ServiceName>),
    /// The roll-over is too far for that: certificates come from the new authority.
    #[error("the roll-over is {0}: it can only go on")]
    RolloverTooFar(RolloverPhase),
    /// What is asked for breaks the policy.
    #[error("the policy forbids it: {0}")]
    Policy(PolicyFault),
    /// The store was restored and has learned from no bundle yet: it signs nothing before it has
    /// ([`adopt`](super::Store::adopt)), or an operator decides to go without
    /// ([`settle_without_bundle`](super::Store::settle_without_bundle)).
    #[error("the store was restored and has not learned what the swarm knows since")]
    Unsettled,
    /// A backup was cut off or edited.
    #[error("the backup was damaged or edited: {0}")]
    BackupDamaged(String),
    /// The backup's passphrase is wrong, or somebody edited it and mended its digest.
    #[error("the backup's passphrase is wrong, or the backup was edited")]
    BackupPassphrase,
    /// The request is signed by the key of no node's newest certificate.
    #[error("the request is signed by the key of no node's newest certificate")]
    UnknownRequester,
    /// The certificate has not come to its end: it can be renewed.
    #[error("the certificate {0} is live and can be renewed")]
    StillLive(SerialNumber),
    /// The certificate came to its end longer ago than the settings allow.
    #[error("the certificate ended at {ended}, too long ago to come back; invite the node")]
    TooLongAgo {
        /// When.
        ended: Timestamp,
    },
    /// An operator denied the node to come back.
    #[error("the node {0} was denied to come back")]
    ReenrolmentDenied(NodeId),
    /// The node does not ask to come back.
    #[error("the node {0} does not ask to come back")]
    NoReenrolment(NodeId),
    /// The settings contradict themselves.
    #[error("the settings cannot be: {0}")]
    Settings(&'static str),
    /// The change was given up before it was written.
    #[error("the change was interrupted before it was written")]
    Interrupted,
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
    /// Another live node or service has this TLS key or this WireGuard key.
    #[error("the {key} key belongs to the live {holder}")]
    KeyInUse {
        /// Which of the keys: `TLS` or `WireGuard`.
        key: &'static str,
        /// Who has it.
        holder: Holder,
    },
    /// A certificate with this TLS key or this WireGuard key was revoked because the key is in other hands.
    #[error("the {key} key was compromised: the certificate {serial} was revoked for it")]
    CompromisedKey {
        /// Which of the keys: `TLS` or `WireGuard`.
        key: &'static str,
        /// The revoked certificate.
        serial: SerialNumber,
    },
    /// Another live node or service has this address.
    #[error("the address {address} belongs to the live {holder}")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// Who has it.
        holder: Holder,
    },
    /// Another live node or service has this DNS name.
    #[error("the DNS name {name} belongs to the live {holder}")]
    DnsNameInUse {
        /// The name.
        name: crate::DnsName,
        /// Who has it.
        holder: Holder,
    },
    /// No certificate was ever issued for this node.
    #[error("no certificate was issued for the node {0}")]
    UnknownNode(NodeId),
    /// No certificate was ever issued for this service.
    #[error("no certificate was issued for the service {0}")]
    UnknownService(ServiceName),
    /// No certificate with this serial number was ever issued here.
    #[error("no certificate with serial number {0} was issued here")]
    UnknownSerial(SerialNumber),
    /// Everything that could be revoked is revoked or expired already.
    #[error("{0} has no live certificate: revoked or expired already")]
    NothingToRevoke(String),
    /// The certificate that is to be renewed was revoked.
    #[error("the certificate {0} was revoked")]
    Revoked(SerialNumber),
    /// No such authority is known, or it is another store's.
    #[error("there is no authority {0} in this store")]
    UnknownAuthority(AuthorityId),
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

    pub(super) fn key(path: &Path) -> impl FnOnce(KeyError) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Key { path, source }
    }

    /// Says again, to another caller, that the write which both waited for failed.
    pub(super) fn repeat(&self) -> Self {
        match self {
            Self::Held { path, pid } => Self::Held {
                path: path.clone(),
                pid: *pid,
            },
            Self::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path: path.clone(),
                source: io::Error::new(source.kind(), source.to_string()),
            },
            Self::Corrupt { path, what } => Self::corrupt(path, what.clone()),
            Self::NotInitialized(path) => Self::NotInitialized(path.clone()),
            Self::UnsupportedVersion(version) => Self::UnsupportedVersion(*version),
            _ => Self::Interrupted,
        }
    }

    pub(super) fn backup(what: impl Into<String>) -> Self {
        Self::BackupDamaged(what.into())
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
                | Self::Interrupted
                | Self::BackupDamaged(_)
                | Self::BackupPassphrase
        )
    }
}

/// Says where a key was put.
struct Whereabouts<'a>(Option<&'a Path>);

impl std::fmt::Display for Whereabouts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |path| {
            write!(f, "; it was put into {}", path.display())
        })
    }
}
