//! A node that was away past the end of its certificate comes back, when an operator says so.

use std::time::Duration;

use super::event::Event;
use super::inventory::Record;
use super::issue::Occasion;
use super::state::State;
use super::{AuthorityId, Error, Issued, Store, Transaction};
use crate::{CertificateRequest, NodeId, SerialNumber, Timestamp};

/// How long an operator's approval holds.
const APPROVAL: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The answer to a node that asks to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reenrolment {
    /// It has a certificate again.
    Issued(Issued),
    /// An operator has to approve it first; ask again later.
    Pending {
        /// Since when it is asked.
        since: Timestamp,
    },
}

/// A node that asks to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingReenrolment {
    /// The node.
    pub node: NodeId,
    /// Its newest certificate, whose key signed the request.
    pub serial: SerialNumber,
    /// When that certificate came to its end.
    pub ended: Timestamp,
    /// Since when the node asks.
    pub since: Timestamp,
    /// Until when an approval holds, when it was approved.
    pub approved_until: Option<Timestamp>,
}

/// What the store keeps of a node that asks to come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) serial: SerialNumber,
    pub(super) since: Timestamp,
    pub(super) decision: Option<Decision>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) approved: bool,
    pub(super) at: Timestamp,
}

impl Asked {
    fn approved_until(&self, now: Timestamp) -> Option<Timestamp> {
        let decision = self.decision.filter(|decision| decision.approved)?;
        let until = decision.at + APPROVAL;
        (now <= until).then_some(until)
    }
}

impl Store {
    /// Answers a node whose certificate came to its end: by expiry, or with its authority. The
    /// request has to be signed by the key of its newest certificate, which proves who asks; an
    /// operator has to approve. The grant is the one last recorded, the authority the present
    /// one, so it leads across roll-overs too.
    ///
    /// # Errors
    /// [`Error::UnknownRequester`] when the key is that of no node's newest certificate;
    /// [`Error::Revoked`]; [`Error::StillLive`] when it can renew; [`Error::TooLongAgo`];
    /// [`Error::ReenrolmentDenied`]; else as [`issue`](Self::issue).
    pub fn reenroll(
        &self,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Reenrolment, Error> {
        let (request, requester) = (request.clone(), requester.to_owned());
        self.change(move |transaction| {
            let spki = request.public_key().spki_der();
            let record = transaction.state().inventory.with_key(spki).next();
            let node = record.map(|record| record.certificate.id().clone());
            let result = transaction.reenroll(&request, &requester, now);
            transaction.audited("reenroll", node.as_ref(), &requester, now, result)
        })
    }

    /// Lists the nodes that ask to come back and were not denied it, ordered by name.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn pending_reenrolments(&self, now: Timestamp) -> Result<Vec<PendingReenrolment>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let pending = state.asked.iter().filter_map(|(node, asked)| {
            if asked.decision.is_some_and(|decision| !decision.approved) {
                return None;
            }
            let record = state.inventory.by_serial(&asked.serial)?;
            Some(PendingReenrolment {
                node: node.clone(),
                serial: asked.serial,
                ended: ended(state, record, now)?,
                since: asked.since,
                approved_until: asked.approved_until(now),
            })
        });
        Ok(pending.collect())
    }

    /// Lets a node come back that asks for it; the approval lapses after 7 days.
    ///
    /// # Errors
    /// [`Error::NoReenrolment`] when the node does not ask.
    pub fn approve_reenrolment(
        &self,
        node: &NodeId,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.decide(node, true, requester, now)
    }

    /// Denies a node to come back, until it is approved after all.
    ///
    /// # Errors
    /// [`Error::NoReenrolment`] when the node does not ask.
    pub fn deny_reenrolment(
        &self,
        node: &NodeId,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.decide(node, false, requester, now)
    }

    fn decide(
        &self,
        node: &NodeId,
        approved: bool,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.exclusive(|transaction| {
            if !transaction.state().asked.contains_key(node) {
                return Err(Error::NoReenrolment(node.clone()));
            }
            let node = node.clone();
            transaction.record(Event::ReenrolmentDecided { node, approved }, requester, now)
        })
    }
}

impl Transaction<'_> {
    fn reenroll(
        &mut self,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Reenrolment, Error> {
        let state = self.state();
        let spki = request.public_key().spki_der();
        let record = state
            .inventory
            .with_key(spki)
            .next()
            .ok_or(Error::UnknownRequester)?;
        let node = record.certificate.id().clone();
        let newest = state.inventory.of_node(&node).next();
        let record = newest
            .filter(|newest| newest.certificate.spki_der() == spki)
            .ok_or(Error::UnknownRequester)?;
        let serial = record.certificate.serial();
        if record.revoked.is_some() {
            return Err(Error::Revoked(serial));
        }
        let ended = ended(state, record, now).ok_or(Error::StillLive(serial))?;
        if now.since(ended) > state.settings.reenroll_within {
            return Err(Error::TooLongAgo { ended });
        }
        let asked = state
            .asked
            .get(&node)
            .filter(|asked| asked.serial == serial);
        if asked.is_some_and(|asked| asked.approved_until(now).is_some()) {
            let grant = record.grant.clone();
            let occasion = Occasion::Reenrolment(serial);
            let issued = self.issue(request, &grant, occasion, requester, now)?;
            return Ok(Reenrolment::Issued(issued));
        }
        match asked {
            Some(Asked {
                decision: Some(Decision {
                    approved: false, ..
                }),
                ..
            }) => Err(Error::ReenrolmentDenied(node)),
            Some(asked) => Ok(Reenrolment::Pending { since: asked.since }),
            None => {
                self.record(Event::ReenrolmentAsked { node, serial }, requester, now)?;
                Ok(Reenrolment::Pending { since: now })
            }
        }
    }
}

/// Tells when a certificate came to its end; `None` when it is live or was itself revoked.
fn ended(state: &State, record: &Record, now: Timestamp) -> Option<Timestamp> {
    if record.revoked.is_some() {
        return None;
    }
    let mut end = Some(record.certificate.not_after()).filter(|end| *end < now);
    let mut above = Some(AuthorityId::Issuing(record.generation));
    while let Some(known) = above.and_then(|id| state.authorities.get(&id)) {
        let expired = Some(known.certificate.not_after()).filter(|end| *end < now);
        let gone = known.revoked.map(|revocation| revocation.at);
        end = [end, expired, gone].into_iter().flatten().min();
        above = known.parent;
    }
    end
}
