//! Taking over what the store itself signed and does not know: after it was restored.

use std::collections::{BTreeMap, BTreeSet};

use super::crls::{is_own, keep_crl, reference};
use super::event::{CrlRef, Event, NewAuthority, NodeText, Text};
use super::state::State;
use super::{AuthorityId, Error, KeyPlace, Store, Transaction};
use crate::{
    Certificate, NodeCertificate, Revocation, RevocationList, SerialNumber, Timestamp, Trust,
    TrustBundle,
};

/// Revocations of each authority.
pub(super) type Revocations = BTreeMap<AuthorityId, BTreeMap<SerialNumber, Revocation>>;

/// What [`Store::adopt`] took over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adoption {
    /// Revocations that the store did not know.
    pub revocations: usize,
    /// Node certificates that it had issued and did not know.
    pub certificates: usize,
    /// Authorities that its root had certified and it did not know.
    pub authorities: usize,
    /// Revocation lists that are newer than its own.
    pub lists: usize,
    /// A list of a root has to name more than it does: [`Store::refresh_root_crl`].
    pub root_due: bool,
}

impl Store {
    /// Takes over what the swarm knows and this store does not, for it was restored from a
    /// backup: revocations that its own authorities signed, and what they issued. Of others'
    /// authorities it takes the newer lists, and in a subordinate's store the roots that links
    /// lead to. Everything is verified by itself, so the bundle may come from anybody.
    ///
    /// Lists of this store are then signed anew with numbers above all that were seen.
    ///
    /// # Errors
    /// [`Error::NotOperational`] when no root is known; [`Error::Held`], [`Error::Io`].
    pub fn adopt(&self, bundle: &TrustBundle, now: Timestamp) -> Result<Adoption, Error> {
        self.exclusive(|transaction| transaction.adopt(bundle, now))
    }

    /// Declares a restored store to be as good as any, though no bundle of the swarm was at hand.
    /// What was revoked since the backup then counts as revoked only for those who remember it.
    ///
    /// # Errors
    /// As every change: [`Error::Held`], [`Error::Io`].
    pub fn settle_without_bundle(&self, requester: &str, now: Timestamp) -> Result<(), Error> {
        self.exclusive(|transaction| {
            if transaction.state().settled {
                return Ok(());
            }
            transaction.record(Event::Settled, requester, now)
        })
    }

    /// Tells whether the store signs: a restored one does not before it has learned from at least
    /// one bundle, or an operator has decided to go without.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn is_settled(&self) -> Result<bool, Error> {
        Ok(self.current()?.state.settled)
    }
}

impl Transaction<'_> {
    fn adopt(&mut self, bundle: &TrustBundle, now: Timestamp) -> Result<Adoption, Error> {
        let state = self.state();
        let trust = believed(state, bundle, now)?;
        let authorities = unknown_authorities(state, &trust);
        let named: BTreeMap<AuthorityId, Certificate> = state
            .authorities
            .iter()
            .map(|(id, known)| (*id, known.certificate.clone()))
            .chain(
                authorities
                    .iter()
                    .map(|new| (new.id, new.certificate.0.clone())),
            )
            .collect();
        let lists: Vec<(AuthorityId, &RevocationList)> = bundle
            .crls
            .iter()
            .filter_map(|list| {
                let id = AuthorityId::of_subject(&list.issuer())?;
                list.verify(named.get(&id)?).ok()?;
                Some((id, list))
            })
            .collect();
        let revoked = unknown_revocations(state, &lists);
        let mut newest: BTreeMap<AuthorityId, &RevocationList> = BTreeMap::new();
        for (id, list) in &lists {
            let known = state.crls.get(id).map_or(0, |crl| crl.number);
            let best = newest.get(id).map_or(known, |best| best.number());
            if list.number() > best || !state.crls.contains_key(id) && !newest.contains_key(id) {
                newest.insert(*id, list);
            }
        }
        let certificates = unknown_certificates(state, bundle);
        let links: Vec<Text> = bundle
            .links
            .iter()
            .filter(|link| !state.links.contains(link))
            .filter(|link| {
                state
                    .find_issuer(link)
                    .and_then(|id| state.authorities.get(&id))
                    .is_some_and(|root| link.is_signed_by(&root.certificate))
            })
            .cloned()
            .map(Text)
            .collect();
        let settles = !state.settled && lists.iter().any(|(id, _)| is_own(state, *id));
        let adoption = Adoption {
            revocations: revoked.values().map(BTreeMap::len).sum(),
            certificates: certificates.len(),
            authorities: authorities.len(),
            lists: newest.len(),
            root_due: false,
        };
        if adoption == Adoption::default() && links.is_empty() && !settles {
            return Ok(adoption);
        }
        let mut crls = Vec::new();
        for (id, list) in newest {
            let crl = reference(id, list);
            keep_crl(&self.store.inner.directory, &crl, list)?;
            crls.push(crl);
        }
        let event = Event::Adopted {
            authorities,
            links,
            crls: crls.clone(),
            certificates: certificates.into_iter().map(NodeText).collect(),
            revoked,
            settles,
        };
        self.record_crls(event, &crls, "adopt", now)?;
        let root_due = self.say_again(&lists, now)?;
        Ok(Adoption {
            root_due,
            ..adoption
        })
    }

    /// Signs anew the lists of this store that name too little, or bear a number twice given.
    fn say_again(
        &mut self,
        offered: &[(AuthorityId, &RevocationList)],
        now: Timestamp,
    ) -> Result<bool, Error> {
        let crls: Vec<CrlRef> = self.state().crls.values().copied().collect();
        let mut root_due = false;
        let mut anew = Vec::new();
        for crl in crls {
            let id = crl.authority;
            if !is_own(self.state(), id) || !self.state().counts(id, now) {
                continue;
            }
            let list = self.store.read_crl(&crl)?;
            let wanted = self.revoked(id, now);
            let forked = offered
                .iter()
                .any(|(of, other)| *of == id && other.number() == list.number() && **other != list);
            if !forked && wanted.keys().all(|serial| list.lookup(serial).is_some()) {
                continue;
            }
            if self.known(id)?.key.is_at_hand() && self.state().settled {
                anew.push((id, self.signer(id)?));
            } else {
                root_due |= id.is_root();
            }
        }
        self.sign_anew(anew, "adopt", now)?;
        Ok(root_due)
    }
}

fn believed(state: &State, bundle: &TrustBundle, now: Timestamp) -> Result<Trust, Error> {
    let roots: Vec<Certificate> = state
        .authorities
        .iter()
        .filter(|(id, known)| id.is_root() && known.revoked.is_none())
        .map(|(_, known)| known.certificate.clone())
        .collect();
    let mut trust =
        Trust::new(state.settings.swarm.clone(), roots).map_err(|_| Error::NotOperational)?;
    let mut authorities = bundle.clone();
    authorities.nodes.clear();
    authorities.links.extend(state.links.iter().cloned());
    trust.merge(&authorities, now);
    Ok(trust)
}

/// Collects the authorities below known roots that are not known; their keys are not here.
fn unknown_authorities(state: &State, trust: &Trust) -> Vec<NewAuthority> {
    let mut seen: BTreeSet<AuthorityId> = state.authorities.keys().copied().collect();
    trust
        .roots()
        .chain(trust.issuers())
        .filter_map(|certificate| {
            let id = AuthorityId::of_subject(&certificate.subject())?;
            seen.insert(id).then(|| NewAuthority {
                id,
                certificate: Text(certificate.clone()),
                key: KeyPlace::Elsewhere,
                label: String::new(),
            })
        })
        .collect()
}

fn unknown_revocations(state: &State, lists: &[(AuthorityId, &RevocationList)]) -> Revocations {
    let mut unknown = Revocations::new();
    for (id, list) in lists {
        for (serial, revocation) in list.iter() {
            if !state.is_revoked(*id, &serial) {
                let of_authority = unknown.entry(*id).or_default();
                of_authority.entry(serial).or_insert(revocation);
            }
        }
    }
    unknown
}

/// Collects the node certificates that this store's authorities signed and that are not in its
/// inventory.
fn unknown_certificates(state: &State, bundle: &TrustBundle) -> Vec<NodeCertificate> {
    let mut seen = BTreeSet::new();
    bundle
        .nodes
        .iter()
        .filter(|certificate| state.inventory.by_serial(&certificate.serial()).is_none())
        .filter(|certificate| {
            let issuer = state.find_issuer(certificate);
            issuer.is_some_and(|id| {
                let known = &state.authorities[&id];
                known.key.is_at_hand() && certificate.is_signed_by(&known.certificate)
            })
        })
        .filter_map(|certificate| NodeCertificate::try_from(certificate).ok())
        .filter(|node| node.identity().swarm == state.settings.swarm)
        .filter(|node| seen.insert(node.serial()))
        .collect()
}
