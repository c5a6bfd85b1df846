//! Reading: settings, authorities, nodes, and the bundle that nodes get.

use super::state::{Issuing, ROOT, Record};
use super::{Error, Grant, Settings, Store};
use crate::{
    Certificate, NodeCertificate, NodeId, Revocation, SerialNumber, Timestamp, Trust, TrustBundle,
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
    fn new(record: &Record, now: Timestamp) -> Self {
        let status = match record.revoked {
            Some(revocation) => NodeStatus::Revoked(revocation),
            None if record.is_live(now) => NodeStatus::Live,
            None => NodeStatus::Expired,
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
    /// Returns what was decided when the store was made.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn settings(&self) -> Result<Settings, Error> {
        Ok(self.current()?.state.settings.clone())
    }

    /// Returns the root's certificate; its fingerprint is what nodes pin.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn root(&self) -> Result<Certificate, Error> {
        Ok(self.current()?.state.root.clone())
    }

    /// Tells whether the root's key needs a passphrase.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn root_is_encrypted(&self) -> Result<bool, Error> {
        Ok(self.current()?.state.root_encrypted)
    }

    /// Returns the generation and the certificate of the authority that issues now.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn issuing(&self) -> Result<(u32, Certificate), Error> {
        let memory = self.current()?;
        let (generation, issuing) = memory.state.current();
        Ok((generation, issuing.certificate.clone()))
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
            .nodes()
            .filter_map(|id| newest(state.of_node(id), now))
            .collect())
    }

    /// Returns the newest certificate of a node, a live one before others.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn node(&self, id: &NodeId, now: Timestamp) -> Result<Option<NodeRecord>, Error> {
        Ok(newest(self.current()?.state.of_node(id), now))
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
        Ok(memory
            .state
            .by_serial(serial)
            .map(|(_, record)| NodeRecord::new(record, now)))
    }

    /// Returns what nodes need in order to trust each other: root, issuing authorities, newest
    /// revocation lists and live node certificates.
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
        let usable =
            |issuing: &Issuing| issuing.revoked.is_none() && issuing.certificate.not_after() >= now;
        let counts =
            |generation| generation == ROOT || state.issuing.get(&generation).is_some_and(usable);
        Ok(TrustBundle {
            roots: vec![state.root.clone()],
            links: Vec::new(),
            issuers: state
                .issuing
                .values()
                .filter(|issuing| usable(issuing))
                .map(|issuing| issuing.certificate.clone())
                .collect(),
            crls: state
                .crls
                .values()
                .filter(|crl| counts(crl.generation))
                .map(|crl| self.read_crl(crl))
                .collect::<Result<_, _>>()?,
            nodes: state
                .records
                .iter()
                .filter(|record| record.is_live(now) && counts(record.generation))
                .map(|record| record.certificate.certificate().clone())
                .collect(),
        })
    }

    /// Returns the authority's own trust, pinned to its root.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn trust(&self, now: Timestamp) -> Result<Trust, Error> {
        let bundle = self.bundle(now)?;
        let swarm = self.settings()?.swarm;
        let mut trust = Trust::new(swarm, bundle.roots.clone())
            .map_err(|fault| Error::corrupt(&self.path("journal"), fault.to_string()))?;
        trust.merge(&bundle, now);
        Ok(trust)
    }
}

fn newest<'a>(mut records: impl Iterator<Item = &'a Record>, now: Timestamp) -> Option<NodeRecord> {
    let first = records.next()?;
    let live = std::iter::once(first)
        .chain(records)
        .find(|record| record.is_live(now));
    Some(NodeRecord::new(live.unwrap_or(first), now))
}
