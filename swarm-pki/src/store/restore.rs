//! Bringing a store back from its backup, without bringing revoked nodes back.
//!
//! A backup is the past. What the swarm was told since must not be taken back:
//!
//! * **No serial number is given twice.** Serial numbers are 126 random bits, never counted.
//! * **No list number is given twice or goes back.** A list's number is `epoch << 40 | clock`, or
//!   one more than the last if that is more. Each restore counts the epoch up, so the first list
//!   after it is above all that came before it, wherever the clock stands. Of two restores from
//!   one backup the later one may meet lists of the earlier one with its own epoch: as soon as a
//!   bundle shows it such a list, its own lists go above that number and name what that list
//!   names.
//! * **Nothing is un-revoked.** Verifiers remember what a list named and a later one leaves out.
//!   Newcomers do not: they would believe a list that knows too little. So a restored store signs
//!   nothing before it has seen a list of its own in at least one bundle, and takes over what that
//!   list and its certificates say ([`Store::adopt`]). Every node has such a bundle. An operator
//!   who has none left can decide to go without ([`Store::settle_without_bundle`]).
//!
//! What was lost stays lost where nobody knows of it: a revocation that reached no node, and
//! invites made since the backup.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::access::key_name;
use super::backup::{Header, MAX_BACKUP_BYTES, SavedFile, Trailer, VERSION};
use super::crls::crl_name;
use super::event::{Entry, Event};
use super::init::make_whole;
use super::journal::{Batch, Head, Journal, read_entries};
use super::state::State;
use super::subordinate::{AuthorityRequest, pending_name};
use super::{Error, KeyPlace, Store, disk, short};
use crate::{Fingerprint, PrivateKey, PublicKey, RevocationList, Signer, Timestamp, TrustBundle};

impl Store {
    /// Restores a backup into an empty directory, and takes over what the bundles know since:
    /// any that nodes have, the more the better.
    ///
    /// Without a bundle that has a list of this authority the store comes back unsettled: it
    /// can be read, and signs nothing ([`Error::Unsettled`]) until [`adopt`](Self::adopt) or
    /// [`settle_without_bundle`](Self::settle_without_bundle).
    ///
    /// # Errors
    /// [`Error::BackupDamaged`] names the line; [`Error::BackupPassphrase`] when the passphrase is
    /// wrong or somebody edited it; [`Error::NotEmpty`] when there is something already.
    pub fn restore(
        directory: impl AsRef<Path>,
        backup: &str,
        passphrase: &[u8],
        bundles: &[TrustBundle],
        requester: &str,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let contents = Contents::read(backup)?;
        let files = contents.open(passphrase)?;
        let store = make_whole(directory.as_ref(), |draft| {
            for (name, content) in &files {
                disk::write_atomic(&draft.join(name), content.as_bytes())?;
            }
            let journal = Journal::new(draft);
            let mut batch = Batch::verbatim(contents.journal.as_bytes(), &contents.header.head);
            batch.push(&Entry {
                sequence: batch.next_sequence(),
                at: now,
                requester: short(requester),
                event: Event::Restored {
                    epoch: contents.state.epoch + 1,
                    backup: Fingerprint(contents.digest),
                    created: contents.header.created,
                },
            });
            journal.append(&Head::genesis(), &batch).map(|_| ())
        })?;
        for bundle in bundles {
            store.adopt(bundle, now)?;
        }
        Ok(store)
    }
}

/// What a backup says, its digest and hash chain verified.
pub(crate) struct Contents<'a> {
    header: Header,
    files: Vec<SavedFile>,
    journal: &'a str,
    state: State,
    /// Everything that the digest and the seal are over.
    body: &'a [u8],
    digest: [u8; 32],
    seal: [u8; 32],
}

impl<'a> Contents<'a> {
    /// Reads a backup without its passphrase.
    pub(crate) fn read(backup: &'a str) -> Result<Self, Error> {
        if backup.len() > MAX_BACKUP_BYTES {
            return Err(Error::backup("it is too long"));
        }
        let cut_off = || Error::backup("it is cut off");
        let inner = backup.strip_suffix('\n').ok_or_else(cut_off)?;
        let end = inner.rfind('\n').ok_or_else(cut_off)? + 1;
        let trailer: Trailer = serde_json::from_str(&inner[end..]).map_err(|_| cut_off())?;
        let body = &backup[..end];
        if Sha256::digest(body.as_bytes())[..] != trailer.sha256 {
            return Err(Error::backup("its digest does not fit"));
        }
        let (first, mut rest) = body.split_once('\n').ok_or_else(cut_off)?;
        let header: Header = serde_json::from_str(first)
            .map_err(|fault| Error::backup(format!("line 1: {fault}")))?;
        if header.version != VERSION {
            return Err(Error::UnsupportedVersion(header.version));
        }
        let mut files = Vec::new();
        for number in 0..header.files {
            let line = number + 2;
            let (text, after) = rest.split_once('\n').ok_or_else(cut_off)?;
            files.push(
                serde_json::from_str(text)
                    .map_err(|fault| Error::backup(format!("line {line}: {fault}")))?,
            );
            rest = after;
        }
        let in_journal = |what: String| Error::backup(format!("its journal: {what}"));
        if rest.len() as u64 != header.head.bytes {
            return Err(in_journal("it is not as long as the head says".into()));
        }
        let entries =
            read_entries(rest.as_bytes(), &Head::genesis(), &header.head).map_err(in_journal)?;
        let state = State::replay(entries).map_err(in_journal)?;
        if state.settings.swarm != header.swarm {
            return Err(Error::backup("line 1: it names another swarm"));
        }
        Ok(Self {
            header,
            files,
            journal: rest,
            state,
            body: body.as_bytes(),
            digest: trailer.sha256,
            seal: trailer.seal,
        })
    }

    /// Opens the keys, and holds every file against the journal.
    pub(super) fn open(
        &self,
        passphrase: &[u8],
    ) -> Result<BTreeMap<String, Zeroizing<String>>, Error> {
        if !self.header.seal(passphrase)?.fits(self.body, &self.seal) {
            return Err(Error::BackupPassphrase);
        }
        let mut saved: BTreeMap<&str, &str> = self
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.content.as_str()))
            .collect();
        let mut take = |name: std::path::PathBuf| {
            let name = name.display().to_string();
            let content = saved.remove(name.as_str());
            content
                .map(|content| (name.clone(), content))
                .ok_or_else(|| Error::backup(format!("{name} is missing")))
        };
        let mut files = BTreeMap::new();
        for (id, known) in &self.state.authorities {
            let content = match &known.key {
                KeyPlace::Stored => {
                    let (name, content) = take(key_name(*id))?;
                    let key = known.certificate.public_key().ok();
                    (
                        name.clone(),
                        open_key(&name, content, passphrase, key.as_ref())?,
                    )
                }
                KeyPlace::StoredEncrypted => {
                    let (name, content) = take(key_name(*id))?;
                    (name, Zeroizing::new(content.to_owned()))
                }
                KeyPlace::File(_) | KeyPlace::Elsewhere => continue,
            };
            files.insert(content.0, content.1);
        }
        if let Some(request) = &self.state.requested {
            let request = AuthorityRequest::from_der(request)
                .map_err(|fault| Error::backup(fault.to_string()))?;
            let (name, content) = take(pending_name(request.public_key()))?;
            let key = open_key(&name, content, passphrase, Some(request.public_key()))?;
            files.insert(name, key);
        }
        for crl in self.state.crls.values() {
            let (name, content) = take(crl_name(crl))?;
            let list = RevocationList::from_pem(content).ok();
            if list.is_none_or(|list| Fingerprint::of(list.der()) != crl.sha256) {
                return Err(Error::backup(format!(
                    "{name} is not the list that was signed"
                )));
            }
            files.insert(name, Zeroizing::new(content.to_owned()));
        }
        match saved.keys().next() {
            Some(name) => Err(Error::backup(format!("{name} does not belong into it"))),
            None => Ok(files),
        }
    }
}

fn open_key(
    name: &str,
    content: &str,
    passphrase: &[u8],
    wanted: Option<&PublicKey>,
) -> Result<Zeroizing<String>, Error> {
    let key =
        PrivateKey::from_encrypted_pem(content, passphrase).map_err(Error::key(Path::new(name)))?;
    if wanted != Some(key.public_key()) {
        return Err(Error::backup(format!("{name} is not the authority's key")));
    }
    Ok(key.to_pem())
}
