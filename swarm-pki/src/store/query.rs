//! Reading: settings, authorities, nodes, and the bundle that nodes get.

use super::inventory::Record;
use super::state::State;
use super::{AuthorityId, Error, Grant, KeyPlace, Settings, Store};
use crate::{
    Certificate, MAX_LINKS, MAX_ROOTS, NodeCertificate, NodeId, Revocation, SerialNumber,
    Timestamp, Trust, TrustBundle,
};

/// How often a reader tries anew when a list was replaced under its eyes.
const READ_TRIES: usize = 8;

/// Whether a certificate of the inventory can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeStatus {
    /// Neither revoked nor expired.
    Live,
    /// Past its end.
    Expired,
    /// Its issuing authority was revoked, or its root retired: nobody believes it any more.
    Orphaned,
    /// Revoked.
    Revoked(Revocation),
}

/// One certificate of the inventory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeRecord {
    /// The certificate.
    pub certificate: NodeCertificate,
    /// Whether it can be used.
    pub status: NodeStatus,
    /// The grant that it was issued by.
    pub grant: Grant,
    /// When it was issued, by the authority's clock.
    pub issued_at: Timestamp,
    /// Who asked for it.
    pub requester: String,
}

impl NodeRecord {
    fn new(state: &State, record: &Record, now: Timestamp) -> Self {
        let status = match record.revoked {
            Some(revocation) => NodeStatus::Revoked(revocation),
            None if !record.is_live(now) => NodeStatus::Expired,
            None if state.is_live(record, now) => NodeStatus::Live,
            None => NodeStatus::Orphaned,
        };
        Self {
            certificate: record.certificate.clone(),
            status,
            grant: record.grant.clone(),
            issued_at: record.issued_at,
            requester: record.requester.clone(),
        }
    }
}

impl Store {
    /// Returns what was decided for the whole swarm.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn settings(&self) -> Result<Settings, Error> {
        Ok(self.current()?.state.settings.clone())
    }

    /// Returns the certificate of the root that counts now; its fingerprint is what new nodes
    /// pin. While a root is replaced, it changes when new certificates come from the new one.
    ///
    /// # Errors
    /// [`Error::NotOperational`] in a subordinate's store that waits for its certificate; else as
    /// every reading.
    pub fn root(&self) -> Result<Certificate, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let root = state
            .signing_root()
            .and_then(|id| state.authorities.get(&id));
        root.map(|known| known.certificate.clone())
            .ok_or(Error::NotOperational)
    }

    /// Tells where the key of the root that counts now is.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn root_key(&self) -> Result<KeyPlace, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let root = state
            .signing_root()
            .and_then(|id| state.authorities.get(&id));
        root.map(|known| known.key.clone())
            .ok_or(Error::NotOperational)
    }

    /// Returns the generation and the certificate of the authority that issues now.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn issuing(&self) -> Result<(u32, Certificate), Error> {
        let memory = self.current()?;
        let generation = memory.state.active.ok_or(Error::NotOperational)?;
        let known = memory
            .state
            .authorities
            .get(&AuthorityId::Issuing(generation));
        known
            .map(|known| (generation, known.certificate.clone()))
            .ok_or(Error::NotOperational)
    }

    /// Lists the newest certificate of every node there ever was, ordered by name; live ones
    /// before others of the same node.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn nodes(&self, now: Timestamp) -> Result<Vec<NodeRecord>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        Ok(state
            .inventory
            .nodes()
            .filter_map(|id| newest(state, id, now))
            .collect())
    }

    /// Lists every certificate that was ever issued, in the order of issuing.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn certificates(&self, now: Timestamp) -> Result<Vec<NodeRecord>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let records = state.inventory.records();
        Ok(records
            .map(|record| NodeRecord::new(state, record, now))
            .collect())
    }

    /// Returns the newest certificate of a node, a live one before others.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn node(&self, id: &NodeId, now: Timestamp) -> Result<Option<NodeRecord>, Error> {
        Ok(newest(&self.current()?.state, id, now))
    }

    /// Returns the certificate with this serial number.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn certificate(
        &self,
        serial: &SerialNumber,
        now: Timestamp,
    ) -> Result<Option<NodeRecord>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let record = state.inventory.by_serial(serial);
        Ok(record.map(|record| NodeRecord::new(state, record, now)))
    }

    /// Returns what nodes need in order to trust each other: roots and the links between them,
    /// issuing authorities, newest revocation lists and live node certificates. Of subordinates it
    /// has what the store knows; what they issue is in their own bundles.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn bundle(&self, now: Timestamp) -> Result<TrustBundle, Error> {
        let mut tries = 0;
        loop {
            let generation = self.generation()?;
            match self.try_bundle(now) {
                // A list was replaced between reading its name and reading it.
                Err(Error::Corrupt { .. })
                    if tries < READ_TRIES && self.generation()? != generation =>
                {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    fn try_bundle(&self, now: Timestamp) -> Result<TrustBundle, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let roots: Vec<&AuthorityId> = state.authorities.keys().filter(|id| id.is_root()).collect();
        let issuers = state
            .authorities
            .iter()
            .filter(|(id, _)| !id.is_root() && state.counts(**id, now));
        let mut bundle = TrustBundle {
            // Retired roots too, for their last lists are what retires them elsewhere; the oldest
            // are left out when there are too many.
            roots: roots
                .into_iter()
                .rev()
                .take(MAX_ROOTS)
                .map(|id| state.authorities[id].certificate.clone())
                .collect(),
            issuers: issuers
                .map(|(_, known)| known.certificate.clone())
                .collect(),
            crls: state
                .crls
                .values()
                .filter(|crl| crl.authority.is_root() || state.counts(crl.authority, now))
                .map(|crl| self.read_crl(crl))
                .collect::<Result<_, _>>()?,
            nodes: state
                .inventory
                .records()
                .filter(|record| state.is_live(record, now))
                .map(|record| record.certificate.certificate().clone())
                .collect(),
            links: state.links.iter().rev().take(MAX_LINKS).cloned().collect(),
        };
        bundle.roots.reverse();
        Ok(bundle)
    }

    /// Returns the authority's own trust, pinned to the roots that count.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn trust(&self, now: Timestamp) -> Result<Trust, Error> {
        let bundle = self.bundle(now)?;
        let (swarm, roots) = {
            let memory = self.current()?;
            let state = &memory.state;
            let roots: Vec<Certificate> = state
                .authorities
                .iter()
                .filter(|(id, known)| id.is_root() && known.revoked.is_none())
                .map(|(_, known)| known.certificate.clone())
                .collect();
            (state.settings.swarm.clone(), roots)
        };
        if roots.is_empty() {
            return Err(Error::NotOperational);
        }
        let mut trust = Trust::new(swarm, roots)
            .map_err(|fault| Error::corrupt(&self.path("journal"), fault.to_string()))?;
        trust.merge(&bundle, now);
        Ok(trust)
    }
}

fn newest(state: &State, id: &NodeId, now: Timestamp) -> Option<NodeRecord> {
    let mut records = state.inventory.of_node(id);
    let first = records.next()?;
    let live = std::iter::once(first)
        .chain(records)
        .find(|record| state.is_live(record, now));
    Some(NodeRecord::new(state, live.unwrap_or(first), now))
}
