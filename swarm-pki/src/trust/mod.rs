//! Verified state: pinned roots, issuing authorities, revocation lists, and the roster they make.

mod bundle;
mod change;
mod crl;
mod merge;
mod roster;
mod verify;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub use bundle::{
    BundleError, MAX_BUNDLE_BYTES, MAX_CRLS, MAX_ISSUERS, MAX_NODES, MAX_ROOTS, TrustBundle,
};
pub use change::{NodeChange, NodeRemoval, Refusal, RefusalReason, RemovalReason, TrustChanges};
pub use crl::{CrlExpiry, CrlState, CrlStatus};
pub use verify::VerifyError;

use crate::authority::check_authority;
use crate::key::PublicKey;
use crate::{
    AuthorityError, Certificate, Fingerprint, KeyError, NodeCertificate, NodeId, Revocation,
    RevocationList, SerialNumber, SwarmName, Timestamp,
};

/// No [`Trust`] can be made from these roots.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No root was given.
    #[error("no root certificate")]
    NoRoots,
    /// More roots than [`MAX_ROOTS`].
    #[error("more than {MAX_ROOTS} root certificates")]
    TooManyRoots,
    /// A root is not self-signed.
    #[error("{0} is not self-signed")]
    NotSelfSigned(String),
    /// A root is no authority.
    #[error("a root certificate is not an authority's")]
    NotAnAuthority(#[source] Box<AuthorityError>),
    /// A root's key is of an algorithm that is not accepted.
    #[error("a root's key is not accepted")]
    Key(#[from] KeyError),
}

/// An authority that is believed, and the newest revocation list it signed.
#[derive(Clone)]
struct Believed {
    certificate: Certificate,
    key: PublicKey,
    crl: Option<RevocationList>,
    /// What earlier lists revoked and later ones no longer mention. A restored backup of an
    /// authority must not bring a stolen node back.
    dropped: HashMap<SerialNumber, Revocation>,
}

impl Believed {
    fn new(certificate: Certificate) -> Result<Self, KeyError> {
        let key = certificate.public_key()?;
        Ok(Self {
            certificate,
            key,
            crl: None,
            dropped: HashMap::new(),
        })
    }

    /// Tells whether `subject` names this authority as its issuer.
    fn is_named_by(&self, subject: &Certificate) -> bool {
        subject.issuer_der() == self.certificate.subject_der()
            && match (
                subject.authority_key_id(),
                self.certificate.subject_key_id(),
            ) {
                (Some(wanted), Some(offered)) => wanted == offered,
                _ => true,
            }
    }

    fn revocation(&self, serial: &SerialNumber) -> Option<Revocation> {
        self.crl
            .as_ref()
            .and_then(|crl| crl.lookup(serial))
            .or_else(|| self.dropped.get(serial).copied())
    }
}

/// What one party believes about a swarm: everything in it was verified against pinned roots.
///
/// ```text
///  pinned roots ──sign──▶ issuing authorities ──sign──▶ node certificates
///       │                        │                            │
///   root's CRL               issuer's CRL                     ▼
///       └────────────────────────┴────────────▶ roster = valid − revoked
/// ```
///
/// [`merge`](Self::merge) takes a [`TrustBundle`] from anybody and believes what proves itself:
/// the result is the same in whichever order bundles come. Per node the newest valid certificate
/// counts; of two nodes with one WireGuard key or one address the older certificate wins.
///
/// # Time
///
/// Machines boot without a clock. A verified revocation list proves that it is at least as late
/// as the list's making, so a clock that is behind that counts as being there
/// ([`floor`](Self::floor)).
#[derive(Clone)]
pub struct Trust {
    swarm: SwarmName,
    crl_expiry: CrlExpiry,
    roots: Vec<Believed>,
    issuers: Vec<Believed>,
    /// Signatures verified, newest first; whether each counts is decided with the clock at hand.
    candidates: BTreeMap<NodeId, Vec<NodeCertificate>>,
    known: HashSet<Fingerprint>,
    roster: BTreeMap<NodeId, NodeCertificate>,
    by_wireguard_key: HashMap<[u8; 32], NodeId>,
    by_address: HashMap<IpAddr, NodeId>,
    generation: u64,
}

impl Trust {
    /// The grace that [`CrlExpiry::Grace`] has by default.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// Pins the roots of `swarm`; nothing else is believed yet.
    ///
    /// # Errors
    /// [`TrustError`] unless every root is a self-signed authority.
    pub fn new(swarm: SwarmName, roots: Vec<Certificate>) -> Result<Self, TrustError> {
        if roots.is_empty() {
            return Err(TrustError::NoRoots);
        }
        if roots.len() > MAX_ROOTS {
            return Err(TrustError::TooManyRoots);
        }
        let mut believed = Vec::with_capacity(roots.len());
        for root in roots {
            check_authority(&root).map_err(|e| TrustError::NotAnAuthority(e.into()))?;
            if !root.is_signed_by(&root) {
                return Err(TrustError::NotSelfSigned(root.subject()));
            }
            believed.push(Believed::new(root)?);
        }
        Ok(Self {
            swarm,
            crl_expiry: CrlExpiry::default(),
            roots: believed,
            issuers: Vec::new(),
            candidates: BTreeMap::new(),
            known: HashSet::new(),
            roster: BTreeMap::new(),
            by_wireguard_key: HashMap::new(),
            by_address: HashMap::new(),
            generation: 0,
        })
    }

    /// Sets what an expired or missing revocation list means; call [`expire`](Self::expire) for
    /// the roster to follow.
    pub fn set_crl_expiry(&mut self, policy: CrlExpiry) {
        self.crl_expiry = policy;
    }

    /// Returns the swarm that this is about.
    pub fn swarm(&self) -> &SwarmName {
        &self.swarm
    }

    /// Returns the pinned roots.
    pub fn roots(&self) -> impl Iterator<Item = &Certificate> {
        self.roots.iter().map(|root| &root.certificate)
    }

    /// Returns the issuing authorities that a pinned root signed.
    pub fn issuers(&self) -> impl Iterator<Item = &Certificate> {
        self.issuers.iter().map(|issuer| &issuer.certificate)
    }

    /// Returns the newest revocation list of each authority that has one.
    pub fn crls(&self) -> impl Iterator<Item = &RevocationList> {
        self.authorities()
            .filter_map(|authority| authority.crl.as_ref())
    }

    /// Returns the valid nodes, ordered by name.
    pub fn roster(&self) -> impl ExactSizeIterator<Item = &NodeCertificate> {
        self.roster.values()
    }

    /// Returns the valid certificate of a node.
    pub fn node(&self, id: &NodeId) -> Option<&NodeCertificate> {
        self.roster.get(id)
    }

    /// Returns the valid node with this tunnel key.
    pub fn node_by_wireguard_key(&self, key: &[u8; 32]) -> Option<&NodeCertificate> {
        self.by_wireguard_key
            .get(key)
            .and_then(|id| self.roster.get(id))
    }

    /// Returns the valid node with this address.
    pub fn node_by_address(&self, address: IpAddr) -> Option<&NodeCertificate> {
        self.by_address
            .get(&address)
            .and_then(|id| self.roster.get(id))
    }

    /// Looks up, in constant time, when and why a certificate or its issuing authority was
    /// revoked. Verifies nothing.
    pub fn revocation(&self, certificate: &Certificate) -> Option<Revocation> {
        self.authorities()
            .filter(|authority| authority.is_named_by(certificate))
            .find_map(|authority| {
                authority.revocation(&certificate.serial()).or_else(|| {
                    (!authority.certificate.is_self_issued())
                        .then(|| self.revocation(&authority.certificate))
                        .flatten()
                })
            })
    }

    /// Tells whether a certificate or its issuing authority was revoked.
    pub fn is_revoked(&self, certificate: &Certificate) -> bool {
        self.revocation(certificate).is_some()
    }

    /// Returns a number that grows whenever the roster, the issuing authorities or the
    /// revocation lists change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the earliest time that it can be: the newest making of a verified revocation list.
    pub fn floor(&self) -> Timestamp {
        self.crls()
            .map(RevocationList::this_update)
            .max()
            .unwrap_or(Timestamp::MIN)
    }

    /// Returns all that is believed, for others to verify.
    pub fn to_bundle(&self) -> TrustBundle {
        TrustBundle {
            roots: self.roots().cloned().collect(),
            issuers: self.issuers().cloned().collect(),
            crls: self.crls().cloned().collect(),
            nodes: self
                .candidates
                .values()
                .flatten()
                .map(|node| node.certificate().clone())
                .collect(),
        }
    }

    fn authorities(&self) -> impl Iterator<Item = &Believed> {
        self.roots.iter().chain(&self.issuers)
    }

    /// Returns the time that counts: `now`, or the floor when the clock is behind it.
    fn effective(&self, now: Timestamp) -> Timestamp {
        now.max(self.floor())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("swarm", &self.swarm)
            .field("roots", &self.roots.len())
            .field("issuers", &self.issuers.len())
            .field("nodes", &self.roster.len())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
