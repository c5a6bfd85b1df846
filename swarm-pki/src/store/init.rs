//! Making a store: of a root, or of an authority below a root that lives elsewhere.

use std::path::Path;

use super::access::{key_name, place_root_key};
use super::authorities::{first_crl, make_issuing};
use super::event::{Entry, Event, NewAuthority, Text};
use super::journal::{Batch, Head, Journal};
use super::{AuthorityId, Error, RootKey, Settings, Store, disk, random, random_serial, short};
use crate::{Authority, Domain, SwarmName, Timestamp, Validity};

/// What a new store shall be.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoreSpec {
    /// The swarm's name, and everything that can be changed later.
    pub settings: Settings,
    /// Where the root's key goes; a plain file in the directory by default. A subordinate store
    /// has no root key.
    pub root_key: RootKey,
}

impl StoreSpec {
    /// Makes a specification with the defaults; change the fields where need be.
    pub fn new(swarm: SwarmName, domain: Domain) -> Self {
        Self {
            settings: Settings::new(swarm, domain),
            root_key: RootKey::default(),
        }
    }
}

impl Store {
    /// Makes a new authority: a root, the first issuing authority, and a revocation list of each.
    ///
    /// The directory is made beside its place and moved there as a whole, so that it is there in
    /// full or not at all; an empty directory may stand in its place.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] when there is something already; [`Error::Io`], [`Error::Randomness`].
    pub fn init(
        directory: impl AsRef<Path>,
        spec: StoreSpec,
        requester: &str,
        now: Timestamp,
    ) -> Result<Self, Error> {
        make_whole(directory.as_ref(), |draft| {
            let settings = spec.settings;
            settings.check()?;
            let id = AuthorityId::Root(1);
            let stored = draft.join(key_name(id));
            let (key, place) = place_root_key(&stored, &spec.root_key, settings.key_algorithm)?;
            let written = (|| {
                let root = create_root(&settings, 1, key, now)?;
                let root_crl = first_crl(draft, &root, id, &settings, now)?;
                let (issuing, _, issuing_crl) = make_issuing(draft, &root, &settings, 1, now)?;
                let root = NewAuthority {
                    id,
                    certificate: Text(root.certificate().clone()),
                    key: place,
                    label: String::new(),
                };
                let event = Event::Initialized {
                    settings,
                    authorities: vec![root, issuing],
                    crls: vec![root_crl, issuing_crl],
                };
                write_first(draft, event, requester, now)
            })();
            if let (Err(_), RootKey::File { path, .. }) = (&written, &spec.root_key) {
                // Nothing was made, so nobody needs the key that was just made.
                let _ = disk::remove_if_there(path);
            }
            written
        })
    }
}

/// Makes a directory beside its place, and moves it there as a whole.
pub(super) fn make_whole(
    directory: &Path,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<Store, Error> {
    let taken = directory
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some());
    if taken || (directory.exists() && !directory.is_dir()) {
        return Err(Error::NotEmpty(directory.to_path_buf()));
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let mut name = directory.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", hex::encode(random::<8>()?)));
    let draft = parent.join(name);
    disk::make_directory(&draft)?;
    let made = fill(&draft).and_then(|()| disk::rename(&draft, directory));
    if let Err(fault) = made {
        // The draft is this call's own; what cannot be removed is harmless but for its keys.
        let _ = std::fs::remove_dir_all(&draft);
        return Err(fault);
    }
    disk::sync_parent(directory)?;
    Store::open(directory)
}

/// Makes a self-signed root.
pub(super) fn create_root(
    settings: &Settings,
    generation: u32,
    key: std::sync::Arc<dyn crate::Signer>,
    now: Timestamp,
) -> Result<Authority, Error> {
    let lifetimes = &settings.lifetimes;
    let validity = Validity::starting(now, lifetimes.root, lifetimes.backdate);
    let serial = random_serial()?;
    Ok(Authority::create_root(
        &settings.swarm,
        generation,
        key,
        serial,
        validity,
    )?)
}

/// Writes the first entry of a journal.
pub(super) fn write_first(
    directory: &Path,
    event: Event,
    requester: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let head = Head::genesis();
    let mut batch = Batch::after(&head);
    batch.push(&Entry {
        sequence: 1,
        at: now,
        requester: short(requester),
        event,
    });
    Journal::new(directory).append(&head, &batch).map(|_| ())
}
