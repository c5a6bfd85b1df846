//! Making the store, and its authorities: root, issuing generations, their keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::event::{CertificateText, CrlRef, Entry, Event};
use super::journal::{Head, Journal};
use super::state::ROOT;
use super::{Error, Settings, Store, Transaction, disk, random, random_serial};
use crate::{
    Authority, Certificate, CrlContents, Domain, Fingerprint, KeyAlgorithm, Lifetimes, PrivateKey,
    Revocation, RevocationList, RevocationReason, Signer, SwarmName, Timestamp, Validity,
};

/// What a new store shall be.
#[non_exhaustive]
pub struct StoreSpec {
    /// The swarm's name.
    pub swarm: SwarmName,
    /// The domain that node names are put under.
    pub domain: Domain,
    /// The algorithm of the authorities' own keys; P-256 by default.
    pub key_algorithm: KeyAlgorithm,
    /// How long everything lives.
    pub lifetimes: Lifetimes,
    /// Encrypts the root's key; without one the key is a plain file of mode 0600.
    pub root_passphrase: Option<Zeroizing<Vec<u8>>>,
}

impl StoreSpec {
    /// Makes a specification with the defaults; change the fields where need be.
    pub fn new(swarm: SwarmName, domain: Domain) -> Self {
        Self {
            swarm,
            domain,
            key_algorithm: KeyAlgorithm::default(),
            lifetimes: Lifetimes::default(),
            root_passphrase: None,
        }
    }
}

impl std::fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSpec")
            .field("swarm", &self.swarm)
            .field("domain", &self.domain)
            .field("key_algorithm", &self.key_algorithm)
            .field("lifetimes", &self.lifetimes)
            .field("root_encrypted", &self.root_passphrase.is_some())
            .finish()
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
        let directory = directory.as_ref();
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
        let made = write_new(&draft, spec, requester, now).and_then(|()| {
            std::fs::rename(&draft, directory).map_err(Error::io("put in place", directory))
        });
        if let Err(fault) = made {
            // The draft is this call's own; what cannot be removed is harmless but for its keys.
            let _ = std::fs::remove_dir_all(&draft);
            return Err(fault);
        }
        disk::sync_directory(parent)?;
        Self::open(directory)
    }

    /// Makes the next generation of the issuing authority; the earlier ones go on signing their
    /// revocation lists. `passphrase` opens an encrypted root key.
    ///
    /// # Errors
    /// [`Error::PassphraseNeeded`], and [`Error::Key`] when it is wrong.
    pub fn rotate_issuing(
        &self,
        passphrase: Option<&[u8]>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Certificate, Error> {
        let mut transaction = self.begin()?;
        let root = transaction.authority(ROOT, passphrase)?;
        let settings = transaction.state().settings.clone();
        let generation = transaction.state().current().0 + 1;
        let issuing = make_issuing(&self.inner.directory, &root, &settings, generation, now)?;
        let crl = sign_crl(
            &self.inner.directory,
            &issuing,
            generation,
            &settings,
            None,
            Default::default(),
            now,
        )?;
        let certificate = issuing.certificate().clone();
        let event = Event::IssuingRotated {
            generation,
            issuing: CertificateText(certificate.der().to_vec()),
            crls: vec![crl.1],
        };
        transaction.commit(event, requester, now)?;
        transaction.memory.authorities.insert(generation, issuing);
        Ok(certificate)
    }

    /// Revokes a generation of the issuing authority, and with it every node it issued for.
    /// `passphrase` opens an encrypted root key.
    ///
    /// # Errors
    /// [`Error::UnknownAuthority`], [`Error::NothingToRevoke`], [`Error::PassphraseNeeded`].
    pub fn revoke_issuing(
        &self,
        generation: u32,
        reason: RevocationReason,
        passphrase: Option<&[u8]>,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        let mut transaction = self.begin()?;
        match transaction.state().issuing.get(&generation) {
            None => return Err(Error::UnknownAuthority(generation)),
            Some(issuing) if issuing.revoked.is_some() => {
                return Err(Error::NothingToRevoke(issuing.certificate.subject()));
            }
            Some(_) => {}
        }
        let root = transaction.authority(ROOT, passphrase)?;
        let revocation = Revocation { at: now, reason };
        let mut revoked = transaction.revoked(ROOT, now);
        let serial = transaction.state().issuing[&generation]
            .certificate
            .serial();
        revoked.insert(serial, revocation);
        let (list, crl) = transaction.sign_crl(&root, ROOT, revoked, now)?;
        let event = Event::IssuingRevoked {
            generation,
            revocation,
            crls: vec![crl],
        };
        let old = transaction.state().crls.get(&ROOT).copied();
        transaction.commit(event, requester, now)?;
        self.remove_crl(old)?;
        Ok(list)
    }

    pub(super) fn remove_crl(&self, old: Option<CrlRef>) -> Result<(), Error> {
        old.map_or(Ok(()), |crl| {
            disk::remove_if_there(&self.path(crl_name(&crl)))
        })
    }

    /// Reads a revocation list that the journal names.
    pub(super) fn read_crl(&self, crl: &CrlRef) -> Result<RevocationList, Error> {
        let path = self.path(crl_name(crl));
        let bytes = disk::read(&path)?.ok_or_else(|| Error::corrupt(&path, "it is gone"))?;
        let list = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|pem| RevocationList::from_pem(pem).ok())
            .ok_or_else(|| Error::corrupt(&path, "it is not a revocation list"))?;
        if Fingerprint::of(list.der()) != crl.sha256 {
            return Err(Error::corrupt(&path, "it is not the list that was signed"));
        }
        Ok(list)
    }
}

impl Transaction<'_> {
    /// Returns an authority that can sign, reading its key when this is the first time.
    pub(super) fn authority(
        &mut self,
        generation: u32,
        passphrase: Option<&[u8]>,
    ) -> Result<Authority, Error> {
        if let Some(authority) = self.memory.authorities.get(&generation) {
            return Ok(authority.clone());
        }
        let certificate = self
            .state()
            .authority(generation)
            .ok_or(Error::UnknownAuthority(generation))?
            .clone();
        let path = self.store.path(key_name(generation));
        let encrypted = generation == ROOT && self.state().root_encrypted;
        let pem = disk::read_secret(&path)?;
        let key = if encrypted {
            let passphrase = passphrase.ok_or(Error::PassphraseNeeded)?;
            PrivateKey::from_encrypted_pem(&pem, passphrase)
        } else {
            PrivateKey::from_pem(&pem)
        }
        .map_err(|source| Error::Key {
            path: path.clone(),
            source,
        })?;
        let authority = Authority::new(certificate, key)
            .map_err(|_| Error::corrupt(&path, "it is not the authority's key"))?;
        if !encrypted {
            // An encrypted root is opened for one operation and forgotten.
            self.memory
                .authorities
                .insert(generation, authority.clone());
        }
        Ok(authority)
    }

    /// Signs and writes the next revocation list of an authority; it counts once committed.
    pub(super) fn sign_crl(
        &self,
        authority: &Authority,
        generation: u32,
        revoked: std::collections::BTreeMap<crate::SerialNumber, Revocation>,
        now: Timestamp,
    ) -> Result<(RevocationList, CrlRef), Error> {
        let last = self.state().crls.get(&generation);
        sign_crl(
            &self.store.inner.directory,
            authority,
            generation,
            &self.state().settings,
            last,
            revoked,
            now,
        )
    }
}

fn write_new(
    directory: &Path,
    spec: StoreSpec,
    requester: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let settings = Settings {
        swarm: spec.swarm,
        domain: spec.domain,
        key_algorithm: spec.key_algorithm,
        lifetimes: spec.lifetimes,
    };
    let lifetimes = settings.lifetimes;
    let path = directory.join(key_name(ROOT));
    let key = generate(&path, settings.key_algorithm)?;
    let pem = match &spec.root_passphrase {
        None => key.to_pem(),
        Some(passphrase) => key
            .to_encrypted_pem(passphrase, random()?)
            .map_err(|source| Error::Key {
                path: path.clone(),
                source,
            })?,
    };
    disk::write_atomic(&path, pem.as_bytes())?;
    let validity = Validity::starting(now, lifetimes.root, lifetimes.backdate);
    let root = Authority::create_root(&settings.swarm, 1, key, random_serial()?, validity)?;
    let issuing = make_issuing(directory, &root, &settings, 1, now)?;
    let none = std::collections::BTreeMap::new;
    let root_crl = sign_crl(directory, &root, ROOT, &settings, None, none(), now)?.1;
    let issuing_crl = sign_crl(directory, &issuing, 1, &settings, None, none(), now)?.1;
    let event = Event::Initialized {
        settings,
        root: CertificateText(root.certificate().der().to_vec()),
        root_encrypted: spec.root_passphrase.is_some(),
        issuing: CertificateText(issuing.certificate().der().to_vec()),
        crls: vec![root_crl, issuing_crl],
    };
    let entry = Entry {
        sequence: 1,
        at: now,
        requester: super::short(requester),
        event,
    };
    Journal::new(directory).append(&Head::genesis(), &entry)?;
    Ok(())
}

fn make_issuing(
    directory: &Path,
    root: &Authority,
    settings: &Settings,
    generation: u32,
    now: Timestamp,
) -> Result<Authority, Error> {
    let path = directory.join(key_name(generation));
    let key = Arc::new(generate(&path, settings.key_algorithm)?);
    disk::write_atomic(&path, key.to_pem().as_bytes())?;
    let lifetimes = &settings.lifetimes;
    let certificate = root.issue_authority(
        &settings.swarm,
        generation,
        key.public_key(),
        random_serial()?,
        Validity::starting(now, lifetimes.issuing, lifetimes.backdate),
    )?;
    Ok(Authority::new(certificate, key)?)
}

fn generate(path: &Path, algorithm: KeyAlgorithm) -> Result<PrivateKey, Error> {
    PrivateKey::generate(algorithm).map_err(|source| Error::Key {
        path: path.to_path_buf(),
        source,
    })
}

fn sign_crl(
    directory: &Path,
    authority: &Authority,
    generation: u32,
    settings: &Settings,
    last: Option<&CrlRef>,
    revoked: std::collections::BTreeMap<crate::SerialNumber, Revocation>,
    now: Timestamp,
) -> Result<(RevocationList, CrlRef), Error> {
    let lifetimes = &settings.lifetimes;
    let lifetime = if generation == ROOT {
        lifetimes.root_crl
    } else {
        lifetimes.crl
    };
    let list = authority.sign_crl(&CrlContents {
        // Seconds count up by themselves, so a restored backup does not repeat a number.
        number: last.map_or(0, |crl| crl.number + 1).max(now.as_unix()),
        this_update: now,
        next_update: now + lifetime,
        revoked,
    })?;
    let crl = CrlRef {
        generation,
        number: list.number(),
        this_update: list.this_update(),
        next_update: list.next_update(),
        sha256: Fingerprint::of(list.der()),
    };
    disk::write_atomic(&directory.join(crl_name(&crl)), list.to_pem().as_bytes())?;
    Ok((list, crl))
}

fn stem(generation: u32) -> String {
    if generation == ROOT {
        "root".into()
    } else {
        format!("issuing-{generation}")
    }
}

fn key_name(generation: u32) -> PathBuf {
    format!("{}.key", stem(generation)).into()
}

fn crl_name(crl: &CrlRef) -> PathBuf {
    format!("{}.{}.crl", stem(crl.generation), crl.number).into()
}
