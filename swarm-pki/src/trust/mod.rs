//! Verified state: pinned roots, issuing authorities, revocation lists, and the roster they make.

mod authority;
mod bundle;
mod change;
mod crl;
mod known;
mod merge;
mod root;
mod roster;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use bundle::{
    BundleError, MAX_BUNDLE_BYTES, MAX_CRLS, MAX_ISSUERS, MAX_LINKS, MAX_NODES, MAX_ROOTS,
    TrustBundle,
};
pub use change::{NodeChange, NodeRemoval, Refusal, RefusalReason, RemovalReason, TrustChanges};
pub use crl::{CrlExpiry, CrlState, CrlStatus};
pub use verify::VerifyError;

use crate::authority::check_authority;
use crate::{
    AuthorityError, Certificate, KeyError, NodeCertificate, NodeId, Revocation, RevocationList,
    SwarmName, Timestamp,
};
use authority::Believed;
use known::KnownCertificates;
use root::{Root, RootStanding};
use roster::{Seats, Settled};

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

/// What one party believes about a swarm: everything in it was verified against pinned roots.
/// Clones share what neither changes.
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
/// # Roots
///
/// The roots that a `Trust` starts with are pinned. Where a root that is known certifies the name
/// and key of another one by a link ([`Authority::link_root`](crate::Authority::link_root)), the
/// other one is followed to, without anybody touching the pins. A root whose own revocation list
/// names its own serial number is retired: neither it nor anything below it counts any longer, but
/// whoever comes late still follows its links. A link is as strong as the key of the old root:
/// that key is destroyed, not merely retired, once nobody is left behind it.
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
    roots: Vec<Root>,
    links: Vec<Certificate>,
    issuers: Vec<Believed>,
    /// Signatures verified, newest first; whether each counts is decided with the clock at hand.
    candidates: Arc<BTreeMap<NodeId, Vec<NodeCertificate>>>,
    known: Arc<KnownCertificates>,
    seats: Arc<Seats>,
    /// While the clock stays in here and nothing else changes, nobody's standing does.
    settled: Settled,
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
            believed.push(Root::pinned(Believed::new(root)?));
        }
        Ok(Self {
            swarm,
            crl_expiry: CrlExpiry::default(),
            roots: believed,
            links: Vec::new(),
            issuers: Vec::new(),
            candidates: Arc::default(),
            known: Arc::default(),
            seats: Arc::default(),
            settled: Settled::default(),
            generation: 0,
        })
    }

    /// Sets what an expired or missing revocation list means; call [`expire`](Self::expire) for
    /// the roster to follow.
    pub fn set_crl_expiry(&mut self, policy: CrlExpiry) {
        self.crl_expiry = policy;
        self.settled = Settled::default();
    }

    /// Returns the swarm that this is about.
    pub fn swarm(&self) -> &SwarmName {
        &self.swarm
    }

    /// Returns the roots that count now: pinned or followed to, and not retired.
    pub fn roots(&self) -> impl Iterator<Item = &Certificate> {
        let counting = self.roots.iter().filter(|root| root.counts());
        counting.map(|root| &root.authority.certificate)
    }

    /// Returns the roots that are retired; they are passed on with their links and lists.
    pub fn retired_roots(&self) -> impl Iterator<Item = &Certificate> {
        let retired = self
            .roots
            .iter()
            .filter(|root| root.is_known() && !root.counts());
        retired.map(|root| &root.authority.certificate)
    }

    /// Returns the links that lead from one root to another.
    pub fn links(&self) -> impl Iterator<Item = &Certificate> {
        self.links.iter()
    }

    /// Returns the issuing authorities that count: signed and not revoked by a root that counts.
    pub fn issuers(&self) -> impl Iterator<Item = &Certificate> {
        self.counting_issuers().map(|issuer| &issuer.certificate)
    }

    /// Returns the newest revocation list of each authority that has one: of the roots, those
    /// that are retired too, and of the issuing authorities that count.
    pub fn crls(&self) -> impl Iterator<Item = &RevocationList> {
        let roots = self.roots.iter().filter(|root| root.is_known());
        let roots = roots.map(|root| &root.authority);
        roots
            .chain(self.counting_issuers())
            .filter_map(|authority| authority.crl.as_ref())
    }

    /// Returns the valid nodes, ordered by name.
    pub fn roster(&self) -> impl ExactSizeIterator<Item = &NodeCertificate> {
        self.seats.roster.values()
    }

    /// Returns the valid certificate of a node.
    pub fn node(&self, id: &NodeId) -> Option<&NodeCertificate> {
        self.seats.roster.get(id)
    }

    /// Returns the valid node with this tunnel key.
    pub fn node_by_wireguard_key(&self, key: &[u8; 32]) -> Option<&NodeCertificate> {
        let id = self.seats.by_wireguard_key.get(key)?;
        self.seats.roster.get(id)
    }

    /// Returns the valid node with this address.
    pub fn node_by_address(&self, address: IpAddr) -> Option<&NodeCertificate> {
        let id = self.seats.by_address.get(&address)?;
        self.seats.roster.get(id)
    }

    /// Looks up when and why a certificate, its issuing authority or its root was revoked.
    /// Verifies nothing.
    pub fn revocation(&self, certificate: &Certificate) -> Option<Revocation> {
        let issuers = || {
            self.issuers
                .iter()
                .filter(|one| one.is_named_by(certificate))
        };
        let roots = || {
            let known = self.roots.iter().filter(|root| root.is_known());
            known.filter(|root| root.authority.is_named_by(certificate))
        };
        let serial = certificate.serial();
        issuers()
            .chain(roots().map(|root| &root.authority))
            .find_map(|authority| authority.revocation(&serial))
            .or_else(|| {
                // An authority may have certificates of several roots; one that counts is enough.
                all_of(issuers().map(|issuer| self.revocation(&issuer.certificate)))
            })
            .or_else(|| {
                all_of(roots().map(|root| match root.standing {
                    RootStanding::Retired(revocation) => Some(revocation),
                    RootStanding::Counts | RootStanding::Unlinked => None,
                }))
            })
    }

    /// Tells whether a certificate, its issuing authority or its root was revoked.
    pub fn is_revoked(&self, certificate: &Certificate) -> bool {
        self.revocation(certificate).is_some()
    }

    /// Returns a number that grows whenever the roster, the roots, the issuing authorities or the
    /// revocation lists change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the earliest time that it can be: the newest making of a verified revocation list
    /// of an authority that counts.
    pub fn floor(&self) -> Timestamp {
        self.counting()
            .filter_map(Believed::this_update)
            .max()
            .unwrap_or(Timestamp::MIN)
    }

    /// Returns all that is believed, for others to verify, and what those who come late need:
    /// retired roots, links and their lists.
    pub fn to_bundle(&self) -> TrustBundle {
        TrustBundle {
            roots: self.roots().chain(self.retired_roots()).cloned().collect(),
            links: self.links.clone(),
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

    /// The authorities that count: roots, then issuing ones.
    fn counting(&self) -> impl Iterator<Item = &Believed> {
        let roots = self.roots.iter().filter(|root| root.counts());
        roots
            .map(|root| &root.authority)
            .chain(self.counting_issuers())
    }

    fn counting_issuers(&self) -> impl Iterator<Item = &Believed> {
        self.issuers.iter().filter(|issuer| {
            self.find_root(&issuer.certificate).is_ok_and(|root| {
                let serial = issuer.certificate.serial();
                root.counts() && root.authority.revocation(&serial).is_none()
            })
        })
    }

    /// Returns the time that counts: `now`, or the floor when the clock is behind it.
    fn effective(&self, now: Timestamp) -> Timestamp {
        now.max(self.floor())
    }
}

/// The first revocation, if there is one at every place and any place at all.
fn all_of(mut revocations: impl Iterator<Item = Option<Revocation>>) -> Option<Revocation> {
    let first = revocations.next()??;
    revocations.all(|other| other.is_some()).then_some(first)
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("swarm", &self.swarm)
            .field("roots", &self.roots.len())
            .field("issuers", &self.issuers.len())
            .field("nodes", &self.seats.roster.len())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
