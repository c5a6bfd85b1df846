//! Issuing authorities in stores of their own, below a root in another store.
//!
//! ```text
//!  subordinate's store                              root's store
//!  init_subordinate ──▶ AuthorityRequest ──carried──▶ sign_subordinate
//!  accept_authority ◀────────carried──── AuthorityGrant ◀──┘
//! ```
//!
//! The key never leaves the subordinate's directory. What is carried may be seen by everybody and
//! is believed by nobody: the request proves its key, and the grant is verified against the root
//! that the operator pinned when the subordinate was made.

use std::fmt;
use std::path::{Path, PathBuf};

use super::access::{key_name, read_key};
use super::authorities::{certify, first_crl, generate};
use super::crls::{keep_crl, reference};
use super::event::{Bytes, Event, NewAuthority, Text};
use super::init::{make_whole, write_first};
use super::{AuthorityId, Error, KeyPlace, RootAccess, Settings, Store, StoreSpec, Transaction};
use super::{disk, short};
use crate::rollover::{Retirement, Rollover, RolloverKind, RolloverPhase};
use crate::{
    Authority, Certificate, Fingerprint, PublicKey, RequestError, ServiceRequest, Signer,
    SwarmName, Timestamp, Trust, TrustBundle,
};

/// The longest grant that is read, in bytes of PEM: its bundle has no nodes.
const MAX_GRANT_BYTES: usize = 4 * 1024 * 1024;

/// A request to become an issuing authority: a PKCS#10 that proves its key and asks for nothing
/// else.
#[derive(Clone, Debug)]
pub struct AuthorityRequest(ServiceRequest);

impl AuthorityRequest {
    /// Makes a request for an issuing authority of `swarm`.
    ///
    /// # Errors
    /// [`Error::Authority`] when the signer fails.
    pub fn build(signer: &dyn Signer, swarm: &SwarmName) -> Result<Self, Error> {
        let name = "issuing".parse().expect("a service name");
        let request = ServiceRequest::build(signer, swarm, &name)
            .map_err(|fault| Error::Authority(fault.into()))?;
        Ok(Self(request))
    }

    /// Parses one PEM block `CERTIFICATE REQUEST`, and verifies its proof of possession.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_pem(pem: &str) -> Result<Self, RequestError> {
        ServiceRequest::from_pem(pem).map(Self)
    }

    /// Parses exactly one DER request, and verifies its proof of possession.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        ServiceRequest::from_der(der).map(Self)
    }

    /// Returns the PEM block `CERTIFICATE REQUEST`.
    pub fn to_pem(&self) -> String {
        self.0.to_pem()
    }

    /// Returns the key that shall be certified.
    pub fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }
}

/// What the root's store hands to a subordinate: its certificate, and what it needs to know of the
/// others. Its text form is two PEM blocks, `CERTIFICATE` and `SWARM TRUST BUNDLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorityGrant {
    /// The subordinate's certificate.
    pub certificate: Certificate,
    /// Roots, links, authorities and lists; no nodes.
    pub bundle: TrustBundle,
}

impl AuthorityGrant {
    /// Parses the text form.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        const MALFORMED: Error = Error::Malformed("grant for an authority");
        const END: &str = "-----END CERTIFICATE-----\n";
        if text.len() > MAX_GRANT_BYTES {
            return Err(MALFORMED);
        }
        let (certificate, bundle) = text.split_once(END).ok_or(MALFORMED)?;
        let certificate = Certificate::from_pem(&format!("{certificate}{END}"));
        let bundle = TrustBundle::from_pem(bundle);
        match (certificate, bundle) {
            (Ok(certificate), Ok(bundle)) => Ok(Self {
                certificate,
                bundle,
            }),
            _ => Err(MALFORMED),
        }
    }

    /// Returns the text form.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the swarm has more authorities than a bundle takes.
    pub fn to_pem(&self) -> Result<String, Error> {
        let bundle = self
            .bundle
            .to_pem()
            .map_err(|_| Error::Malformed("bundle: it has too many authorities"))?;
        Ok(format!("{}{bundle}", self.certificate.to_pem()))
    }
}

impl Store {
    /// Makes the store of a subordinate below the root with this fingerprint, and the request
    /// that is to be carried to it. It issues nothing until the answer is there. The `root_key`
    /// of the specification plays no part.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] when there is something already; [`Error::Io`], [`Error::Randomness`].
    pub fn init_subordinate(
        directory: impl AsRef<Path>,
        spec: StoreSpec,
        root: Fingerprint,
        requester: &str,
        now: Timestamp,
    ) -> Result<(Self, AuthorityRequest), Error> {
        let mut made = None;
        let store = make_whole(directory.as_ref(), |draft| {
            spec.settings.check()?;
            let request = write_pending(draft, &spec.settings)?;
            let event = Event::SubordinateInitialized {
                settings: spec.settings,
                root,
                request: Bytes(request.0.der().to_vec()),
            };
            made = Some(request);
            write_first(draft, event, requester, now)
        })?;
        let request = made.ok_or(Error::Interrupted)?;
        Ok((store, request))
    }

    /// Returns the request that waits for the root's answer, when there is one.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn pending_authority(&self) -> Result<Option<AuthorityRequest>, Error> {
        let memory = self.current()?;
        let request = memory.state.requested.as_deref();
        request
            .map(AuthorityRequest::from_der)
            .transpose()
            .map_err(|fault| Error::corrupt(&self.path("journal"), fault.to_string()))
    }

    /// Makes a new key and a request for the subordinate's next generation, long before the
    /// present one expires; a request that waits already is returned again.
    ///
    /// # Errors
    /// [`Error::RolloverUnderWay`]; [`Error::UnknownAuthority`] in the store of a root, which
    /// begins a roll-over instead.
    pub fn request_authority(
        &self,
        requester: &str,
        now: Timestamp,
    ) -> Result<AuthorityRequest, Error> {
        if let Some(pending) = self.pending_authority()? {
            return Ok(pending);
        }
        self.exclusive(|transaction| {
            let state = transaction.state();
            if state.pinned.is_none() {
                let next = state.next_generation(false);
                return Err(Error::UnknownAuthority(AuthorityId::Issuing(next)));
            }
            if state.rollover.is_some() {
                return Err(Error::RolloverUnderWay);
            }
            let request = write_pending(&self.inner.directory, &state.settings)?;
            let event = Event::AuthorityRequested {
                request: Bytes(request.0.der().to_vec()),
            };
            transaction.record(event, requester, now)?;
            Ok(request)
        })
    }

    /// Certifies the issuing authority of another store, below the root that counts now: with the
    /// next generation and a name of its own. `label` is what the operator calls it: a hub, a
    /// region.
    ///
    /// # Errors
    /// [`Error::NotARoot`] in a subordinate's store; [`Error::Malformed`] when the request is of
    /// another swarm; [`Error::KeyInUse`] when an authority has this key already;
    /// [`Error::PassphraseNeeded`], [`Error::RootKeyAway`], [`Error::NotTheKey`], [`Error::Key`].
    pub fn sign_subordinate(
        &self,
        request: &AuthorityRequest,
        label: &str,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<AuthorityGrant, Error> {
        let certificate = self.exclusive(|transaction| {
            let result = transaction.sign_subordinate(request, label, root, requester, now);
            transaction.audited("sign-subordinate", None, requester, now, result)
        })?;
        let mut bundle = self.bundle(now)?;
        bundle.nodes.clear();
        Ok(AuthorityGrant {
            certificate,
            bundle,
        })
    }

    /// Takes the certificate that the root made. The first one makes the subordinate operational;
    /// a later one begins a [roll-over](crate::rollover) to it.
    ///
    /// # Errors
    /// [`Error::NotRequested`] when the grant answers another request;
    /// [`Error::GrantNotBelieved`] when it does not lead to the pinned root.
    pub fn accept_authority(
        &self,
        grant: &AuthorityGrant,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.exclusive(|transaction| {
            let result = transaction.accept_authority(grant, requester, now);
            transaction.audited("accept-authority", None, requester, now, result)
        })
    }
}

impl Transaction<'_> {
    fn sign_subordinate(
        &mut self,
        request: &AuthorityRequest,
        label: &str,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Certificate, Error> {
        let settings = self.state().settings.clone();
        let claimed = request.0.claimed_service().map(|name| &name.swarm);
        if claimed.is_some_and(|swarm| *swarm != settings.swarm) {
            return Err(Error::Malformed("request: it is of another swarm"));
        }
        let above = self.own_root()?;
        let spki = request.public_key().spki_der();
        let taken = |known: &super::state::Known| known.certificate.spki_der() == spki;
        if self.state().authorities.values().any(taken) {
            return Err(Error::NotRequested("an authority has this key already"));
        }
        let root = self.root(above.generation(), root)?;
        let generation = self.state().next_generation(false);
        let certificate = certify(&root, &settings, generation, request.public_key(), now)?;
        let authority = NewAuthority {
            id: AuthorityId::Issuing(generation),
            certificate: Text(certificate.clone()),
            key: KeyPlace::Elsewhere,
            label: short(label),
        };
        self.record(Event::SubordinateSigned { authority }, requester, now)?;
        Ok(certificate)
    }

    fn accept_authority(
        &mut self,
        grant: &AuthorityGrant,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = self.state();
        let pinned = state
            .pinned
            .ok_or(Error::NotRequested("this is a root's store"))?;
        let requested = state
            .requested
            .as_deref()
            .ok_or(Error::NotRequested("no request is pending"))?;
        let directory = self.store.inner.directory.clone();
        let request = AuthorityRequest::from_der(requested)
            .map_err(|fault| Error::corrupt(&directory.join("journal"), fault.to_string()))?;
        let certificate = &grant.certificate;
        if certificate.spki_der() != request.public_key().spki_der() {
            return Err(Error::NotRequested("it is for another key"));
        }
        let believed = self.believe(grant, pinned, now)?;
        let own = AuthorityId::of_subject(&certificate.subject())
            .filter(|id| !id.is_root() && !self.state().authorities.contains_key(id))
            .ok_or_else(|| Error::GrantNotBelieved("its name is not a new generation's".into()))?;

        // Everything is verified: the files first, then the entry that makes them count.
        let pending = directory.join(pending_name(request.public_key()));
        let key = read_key(&pending, None)?;
        disk::write_atomic(&directory.join(key_name(own)), key.to_pem().as_bytes())?;
        let authority = Authority::new(certificate.clone(), key)?;
        let settings = self.state().settings.clone();
        let mut crls = vec![first_crl(&directory, &authority, own, &settings, now)?];
        let mut authorities = Vec::new();
        for (known, key) in believed
            .roots()
            .map(|root| (root, KeyPlace::Elsewhere))
            .chain(
                believed
                    .issuers()
                    .map(|issuer| match issuer == certificate {
                        true => (issuer, KeyPlace::Stored),
                        false => (issuer, KeyPlace::Elsewhere),
                    }),
            )
        {
            let Some(id) = AuthorityId::of_subject(&known.subject()) else {
                continue;
            };
            if !self.state().authorities.contains_key(&id) {
                authorities.push(NewAuthority {
                    id,
                    certificate: Text(known.clone()),
                    key,
                    label: String::new(),
                });
            }
        }
        for list in believed.crls() {
            let id = AuthorityId::of_subject(&list.issuer()).filter(|id| *id != own);
            let known = id.and_then(|id| self.state().crls.get(&id));
            let newer = known.is_none_or(|known| known.number < list.number());
            if let (Some(id), true) = (id, newer) {
                let crl = reference(id, list);
                keep_crl(&directory, &crl, list)?;
                crls.push(crl);
            }
        }
        let links = grant.bundle.links.iter().cloned().map(Text).collect();
        let old = self.state().active;
        let event = Event::AuthorityAccepted {
            generation: own.generation(),
            authorities,
            links,
            crls: crls.clone(),
            rollover: old.map(|old| Rollover {
                kind: RolloverKind::Issuing,
                phase: RolloverPhase::Announced,
                old,
                new: own.generation(),
                issuing: own.generation(),
                retirement: Retirement::LeftToExpire,
                began: now,
                left_behind: Default::default(),
            }),
        };
        self.record_crls(event, &crls, requester, now)?;
        self.memory.signers.insert(own, authority);
        self.remove_later(pending);
        Ok(())
    }

    /// Verifies a grant against the root that was pinned, and the roots that were learned since.
    fn believe(
        &self,
        grant: &AuthorityGrant,
        pinned: Fingerprint,
        now: Timestamp,
    ) -> Result<Trust, Error> {
        let state = self.state();
        let mut roots: Vec<Certificate> = state
            .authorities
            .iter()
            .filter(|(id, known)| id.is_root() && known.revoked.is_none())
            .map(|(_, known)| known.certificate.clone())
            .collect();
        if roots.is_empty() {
            let found = grant
                .bundle
                .roots
                .iter()
                .find(|root| root.fingerprint() == pinned);
            roots.extend(found.cloned());
        }
        let not_believed = |fault: String| Error::GrantNotBelieved(fault);
        let mut trust = Trust::new(state.settings.swarm.clone(), roots)
            .map_err(|_| not_believed("the pinned root is not in it".into()))?;
        let mut bundle = grant.bundle.clone();
        bundle.nodes.clear();
        bundle.links.extend(state.links.iter().cloned());
        bundle.issuers.push(grant.certificate.clone());
        let changes = trust.merge(&bundle, now);
        let certificate = &grant.certificate;
        if let Some(revocation) = trust.revocation(certificate) {
            let reason = revocation.reason;
            return Err(not_believed(format!("it was revoked: {reason}")));
        }
        if !trust.issuers().any(|issuer| issuer == certificate) {
            let refused = changes
                .refused
                .iter()
                .find(|refusal| refusal.fingerprint == certificate.fingerprint());
            return Err(not_believed(refused.map_or_else(
                || "its root does not count".into(),
                |refusal| refusal.reason.to_string(),
            )));
        }
        Ok(trust)
    }
}

/// Makes the key of a future authority, and its request.
fn write_pending(directory: &Path, settings: &Settings) -> Result<AuthorityRequest, Error> {
    let key = generate(directory, settings.key_algorithm)?;
    let request = AuthorityRequest::build(&key, &settings.swarm)?;
    let path = directory.join(pending_name(key.public_key()));
    disk::write_atomic(&path, key.to_pem().as_bytes())?;
    Ok(request)
}

pub(super) fn pending_name(key: &PublicKey) -> PathBuf {
    format!("pending-{}.key", hex::encode(&key.key_id()[..8])).into()
}

impl fmt::Display for AuthorityRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_pem())
    }
}
