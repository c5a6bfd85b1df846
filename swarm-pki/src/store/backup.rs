//! One text file that holds the whole store, for a bad day.
//!
//! ```text
//! {"swarm-pki-backup":1,"swarm":…,"created":…,"salt":…,"iterations":…,"head":{…},"files":n}
//! {"name":"issuing-1.key","content":"-----BEGIN ENCRYPTED PRIVATE KEY-----…"}     n lines
//! <hash> <json>                                                  the journal, as it stands
//! {"sha256":…,"seal":…}                                          over everything before
//! ```
//!
//! Keys that lie in the store plain are encrypted anew under the backup's passphrase (PKCS#8,
//! PBES2); an encrypted root key stays as it is, under its own. The digest finds damage without
//! the passphrase; the seal (HMAC-SHA-256 under a key derived by PBKDF2, RFC 8018) finds whoever
//! edits the inventory and mends the digest.

use aws_lc_rs::{hmac, pbkdf2};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::access::{encrypt, is_encrypted, key_name};
use super::crls::crl_name;
use super::journal::Head;
use super::subordinate::{AuthorityRequest, pending_name};
use super::{Error, KeyPlace, Store, Transaction, disk, random};
use crate::{PrivateKey, SwarmName, Timestamp};

pub(super) const VERSION: u32 = 1;

/// The longest backup that is read, in bytes: some 700,000 certificates.
pub(super) const MAX_BACKUP_BYTES: usize = 1024 * 1024 * 1024;

/// What PBKDF2-HMAC-SHA-256 takes in 2026 to make guessing expensive.
const ITERATIONS: u32 = 600_000;

/// The most work that a file may ask of the machine that reads it.
const MAX_ITERATIONS: u32 = 10_000_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    #[serde(rename = "swarm-pki-backup")]
    pub(super) version: u32,
    pub(super) swarm: SwarmName,
    pub(super) created: Timestamp,
    #[serde(with = "hex::serde")]
    salt: [u8; 16],
    iterations: u32,
    pub(super) head: Head,
    pub(super) files: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedFile {
    pub(super) name: String,
    /// PEM; a key is encrypted.
    pub(super) content: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    #[serde(with = "hex::serde")]
    pub(super) sha256: [u8; 32],
    #[serde(with = "hex::serde")]
    pub(super) seal: [u8; 32],
}

impl Store {
    /// Writes the whole store into one text: as it is at this moment, whatever others change
    /// meanwhile. A root's key that lives elsewhere is not in it.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::Io`], [`Error::Key`].
    pub fn backup(&self, passphrase: &[u8], now: Timestamp) -> Result<String, Error> {
        self.exclusive(|transaction| transaction.backup(passphrase, now))
    }
}

impl Transaction<'_> {
    fn backup(&self, passphrase: &[u8], now: Timestamp) -> Result<String, Error> {
        let state = self.state();
        let head = &self.memory.head;
        let mut files = Vec::new();
        for (id, known) in &state.authorities {
            if matches!(known.key, KeyPlace::Stored | KeyPlace::StoredEncrypted) {
                files.push(self.save_key(key_name(*id), passphrase)?);
            }
        }
        if let Some(request) = &state.requested {
            let request = AuthorityRequest::from_der(request)
                .map_err(|fault| Error::corrupt(&self.store.path("journal"), fault.to_string()))?;
            files.push(self.save_key(pending_name(request.public_key()), passphrase)?);
        }
        for crl in state.crls.values() {
            files.push(SavedFile {
                name: crl_name(crl).display().to_string(),
                content: self.store.read_crl(crl)?.to_pem(),
            });
        }
        let header = Header {
            version: VERSION,
            swarm: state.settings.swarm.clone(),
            created: now,
            salt: random()?,
            iterations: ITERATIONS,
            head: head.clone(),
            files: files.len().try_into().unwrap_or(u32::MAX),
        };
        let seal = header.seal(passphrase)?;
        let journal = self.store.inner.journal.text(&Head::genesis(), head)?;
        let journal = String::from_utf8(journal)
            .map_err(|_| Error::corrupt(&self.store.path("journal"), "it is not text"))?;
        let mut text = line(&header);
        for file in &files {
            text.push_str(&line(file));
        }
        text.push_str(&journal);
        let trailer = Trailer {
            sha256: Sha256::digest(text.as_bytes()).into(),
            seal: seal.sign(text.as_bytes()),
        };
        text.push_str(&line(&trailer));
        Ok(text)
    }

    fn save_key(&self, name: std::path::PathBuf, passphrase: &[u8]) -> Result<SavedFile, Error> {
        let path = self.store.path(&name);
        let pem = disk::read_secret(&path)?;
        let content = if is_encrypted(&pem) {
            pem.to_string()
        } else {
            let key = PrivateKey::from_pem(&pem).map_err(Error::key(&path))?;
            encrypt(&key, passphrase, &path)?.to_string()
        };
        Ok(SavedFile {
            name: name.display().to_string(),
            content,
        })
    }
}

fn line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("plain data");
    line.push('\n');
    line
}

impl Header {
    /// Derives the key that seals the backup.
    pub(super) fn seal(&self, passphrase: &[u8]) -> Result<Seal, Error> {
        let iterations = std::num::NonZeroU32::new(self.iterations)
            .filter(|count| count.get() <= MAX_ITERATIONS)
            .ok_or_else(|| Error::backup("line 1: it asks for an excessive key derivation"))?;
        let mut key = Zeroizing::new([0; 32]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            &self.salt,
            passphrase,
            key.as_mut_slice(),
        );
        Ok(Seal(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())))
    }
}

/// The key that seals a backup.
pub(super) struct Seal(hmac::Key);

impl Seal {
    fn sign(&self, text: &[u8]) -> [u8; 32] {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.0, text).as_ref());
        tag
    }

    pub(super) fn fits(&self, text: &[u8], tag: &[u8; 32]) -> bool {
        hmac::verify(&self.0, text, tag).is_ok()
    }
}
