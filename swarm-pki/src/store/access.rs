//! Where a root's key lives, and how an operation comes by the root's signature.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::event::Event;
use super::{AuthorityId, Error, Store, Transaction, disk, random};
use crate::{Authority, AuthorityError, PrivateKey, Signer, Timestamp};

/// Where the root's signature comes from, for the one operation that needs it.
#[derive(Clone)]
#[non_exhaustive]
pub enum RootAccess<'a> {
    /// The plain key in the store's directory.
    Stored,
    /// The encrypted key in the store's directory, and its passphrase.
    Passphrase(&'a [u8]),
    /// A key file elsewhere, as on a USB stick that is put in for the occasion.
    KeyFile {
        /// The file: PKCS#8 PEM.
        path: &'a Path,
        /// Its passphrase, when it is encrypted.
        passphrase: Option<&'a [u8]>,
    },
    /// Something that signs with the root's key and need not show it.
    Signer(Arc<dyn Signer>),
}

impl fmt::Debug for RootAccess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("Stored"),
            Self::Passphrase(_) => f.write_str("Passphrase"),
            Self::KeyFile { path, .. } => f.debug_tuple("KeyFile").field(path).finish(),
            Self::Signer(signer) => f.debug_tuple("Signer").field(signer.public_key()).finish(),
        }
    }
}

/// Where the key of a new root goes.
#[derive(Clone)]
#[non_exhaustive]
pub enum RootKey {
    /// Into the store's directory.
    Stored {
        /// Encrypts it; without one it is a plain file of mode 0600.
        passphrase: Option<Zeroizing<Vec<u8>>>,
    },
    /// Into a new file elsewhere, from the start: the store's directory never has it.
    File {
        /// The file, which must not exist; its directory must.
        path: PathBuf,
        /// Encrypts it. Needed where the file system knows no modes, as on most USB sticks.
        passphrase: Option<Zeroizing<Vec<u8>>>,
    },
    /// Nowhere: it exists already, in something that signs with it.
    Signer(Arc<dyn Signer>),
}

impl Default for RootKey {
    fn default() -> Self {
        Self::Stored { passphrase: None }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored { passphrase } => f
                .debug_struct("Stored")
                .field("encrypted", &passphrase.is_some())
                .finish(),
            Self::File { path, passphrase } => f
                .debug_struct("File")
                .field("path", path)
                .field("encrypted", &passphrase.is_some())
                .finish(),
            Self::Signer(signer) => f.debug_tuple("Signer").field(signer.public_key()).finish(),
        }
    }
}

/// Where an authority's key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyPlace {
    /// In the store's directory, plain.
    Stored,
    /// In the store's directory, under a passphrase.
    StoredEncrypted,
    /// In a file elsewhere: where it was last put.
    File(PathBuf),
    /// Not with this store: in another store, or in something that only signs.
    Elsewhere,
}

impl KeyPlace {
    /// Tells whether the key is in the store's directory and needs nobody to open it.
    pub fn is_at_hand(&self) -> bool {
        matches!(self, Self::Stored)
    }
}

impl Store {
    /// Moves a root's key out of the directory: copied to the new file `to`, synced, read back,
    /// and only then removed here. `seal` encrypts a key that was plain; an encrypted one keeps
    /// its passphrase. From then on the root is reached by [`RootAccess::KeyFile`].
    ///
    /// Flash memory may keep what was removed: a key that must never have been on this machine
    /// goes elsewhere from the start ([`RootKey::File`]).
    ///
    /// # Errors
    /// [`Error::UnknownAuthority`]; [`Error::RootKeyAway`] when it is not here;
    /// [`Error::NotEmpty`] when `to` exists; [`Error::Permissions`] when others could read the
    /// plain key there.
    pub fn detach_root(
        &self,
        generation: u32,
        to: &Path,
        seal: Option<&[u8]>,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.exclusive(|transaction| {
            let id = AuthorityId::Root(generation);
            let root = transaction.known(id)?;
            let (place, key) = (root.key.clone(), root.certificate.public_key());
            let from = transaction.store.path(key_name(id));
            let pem = match place {
                KeyPlace::Stored => {
                    let plain = read_key(&from, None)?;
                    match seal {
                        None => plain.to_pem(),
                        Some(passphrase) => encrypt(&plain, passphrase, to)?,
                    }
                }
                KeyPlace::StoredEncrypted => disk::read_secret(&from)?,
                KeyPlace::File(path) => return Err(Error::RootKeyAway { path: Some(path) }),
                KeyPlace::Elsewhere => return Err(Error::RootKeyAway { path: None }),
            };
            disk::write_new(to, pem.as_bytes())?;
            let copied = (|| {
                let again = read_pem(to)?;
                let opened = match seal.filter(|_| place == KeyPlace::Stored) {
                    None if place == KeyPlace::StoredEncrypted => None,
                    passphrase => Some(read_key(to, passphrase)?),
                };
                let fits = opened
                    .is_none_or(|opened| key.as_ref().is_ok_and(|key| key == opened.public_key()));
                if *again == *pem && fits {
                    Ok(())
                } else {
                    Err(Error::corrupt(to, "it is not what was written"))
                }
            })();
            if let Err(fault) = copied {
                disk::remove_if_there(to)?;
                return Err(fault);
            }
            let path = std::path::absolute(to).map_err(Error::io("resolve", to))?;
            let event = Event::RootDetached { generation, path };
            transaction.record(event, requester, now)?;
            transaction.remove_later(from);
            Ok(())
        })
    }
}

impl Transaction<'_> {
    /// Opens a root for one operation; nothing of it is kept.
    pub(super) fn root(
        &mut self,
        generation: u32,
        access: &RootAccess<'_>,
    ) -> Result<Authority, Error> {
        if !self.state().settled {
            return Err(Error::Unsettled);
        }
        let id = AuthorityId::Root(generation);
        let root = self.known(id)?;
        let certificate = root.certificate.clone();
        let stored = self.store.path(key_name(id));
        let away = |path: &Path| Error::RootKeyAway {
            path: Some(path.to_path_buf()),
        };
        let opened = match (access, &root.key) {
            (RootAccess::Signer(signer), _) => Authority::new(certificate, Arc::clone(signer)),
            (RootAccess::KeyFile { path, passphrase }, _) => {
                Authority::new(certificate, read_key(path, *passphrase)?)
            }
            (_, KeyPlace::File(path)) => return Err(away(path)),
            (_, KeyPlace::Elsewhere) => return Err(Error::RootKeyAway { path: None }),
            (RootAccess::Stored, KeyPlace::StoredEncrypted) => {
                return Err(Error::PassphraseNeeded);
            }
            (RootAccess::Passphrase(passphrase), KeyPlace::StoredEncrypted) => {
                Authority::new(certificate, read_key(&stored, Some(passphrase))?)
            }
            (_, KeyPlace::Stored) => Authority::new(certificate, read_key(&stored, None)?),
        };
        opened.map_err(|fault| match (fault, access) {
            (AuthorityError::KeyMismatch, RootAccess::KeyFile { .. } | RootAccess::Signer(_)) => {
                Error::NotTheKey(id)
            }
            (AuthorityError::KeyMismatch, _) => {
                Error::corrupt(&stored, "it is not the authority's key")
            }
            (fault, _) => fault.into(),
        })
    }
}

/// Makes or takes the key of a new root, and writes it where it shall be.
pub(super) fn place_root_key(
    stored: &Path,
    wanted: &RootKey,
    algorithm: crate::KeyAlgorithm,
) -> Result<(Arc<dyn Signer>, KeyPlace), Error> {
    let (path, passphrase, place) = match wanted {
        RootKey::Signer(signer) => return Ok((Arc::clone(signer), KeyPlace::Elsewhere)),
        RootKey::Stored { passphrase: None } => (stored, None, KeyPlace::Stored),
        RootKey::Stored { passphrase } => (stored, passphrase.as_ref(), KeyPlace::StoredEncrypted),
        RootKey::File { path, passphrase } => {
            let known = std::path::absolute(path).map_err(Error::io("resolve", path))?;
            (path.as_path(), passphrase.as_ref(), KeyPlace::File(known))
        }
    };
    let key = super::authorities::generate(path, algorithm)?;
    let pem = match passphrase {
        None => key.to_pem(),
        Some(passphrase) => encrypt(&key, passphrase, path)?,
    };
    if matches!(wanted, RootKey::File { .. }) {
        disk::write_new(path, pem.as_bytes())?;
        // Where the file system keeps no modes, a plain key could never be used again.
        if let Err(fault) = read_pem(path) {
            disk::remove_if_there(path)?;
            return Err(fault);
        }
    } else {
        disk::write_atomic(path, pem.as_bytes())?;
    }
    Ok((Arc::new(key), place))
}

/// Reads a key file; a plain one must be this user's alone.
pub(super) fn read_key(path: &Path, passphrase: Option<&[u8]>) -> Result<PrivateKey, Error> {
    let pem = read_pem(path)?;
    match passphrase {
        Some(passphrase) if is_encrypted(&pem) => PrivateKey::from_encrypted_pem(&pem, passphrase),
        None if is_encrypted(&pem) => return Err(Error::PassphraseNeeded),
        _ => PrivateKey::from_pem(&pem),
    }
    .map_err(Error::key(path))
}

/// Reads the PEM text of a key. What is encrypted may lie on a file system without modes.
fn read_pem(path: &Path) -> Result<Zeroizing<String>, Error> {
    let pem = disk::read_text(path)?;
    if is_encrypted(&pem) {
        Ok(pem)
    } else {
        disk::read_secret(path)
    }
}

pub(super) fn is_encrypted(pem: &str) -> bool {
    pem.trim_start()
        .starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

pub(super) fn encrypt(
    key: &PrivateKey,
    passphrase: &[u8],
    path: &Path,
) -> Result<Zeroizing<String>, Error> {
    key.to_encrypted_pem(passphrase, random()?)
        .map_err(Error::key(path))
}

pub(super) fn key_name(id: AuthorityId) -> PathBuf {
    format!("{id}.key").into()
}
