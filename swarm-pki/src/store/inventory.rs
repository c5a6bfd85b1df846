//! Every certificate that was ever issued, and who holds which key, address and name.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::state::State;
use super::{Grant, ServiceGrant};
use crate::{
    DnsName, Fingerprint, NodeCertificate, NodeId, Revocation, SerialNumber, ServiceCertificate,
    ServiceName, Timestamp,
};

/// One certificate of the inventory.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) certificate: NodeCertificate,
    pub(super) generation: u32,
    pub(super) grant: Grant,
    pub(super) issued_at: Timestamp,
    pub(super) requester: String,
    pub(super) revoked: Option<Revocation>,
}

impl Record {
    /// Tells whether the certificate is neither revoked nor expired; its authority may be.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.certificate.not_after() >= now
    }
}

/// One service certificate of the inventory.
#[derive(Debug)]
pub(super) struct ServiceEntry {
    pub(super) certificate: ServiceCertificate,
    pub(super) generation: u32,
    pub(super) grant: ServiceGrant,
    pub(super) issued_at: Timestamp,
    pub(super) requester: String,
    pub(super) revoked: Option<Revocation>,
}

#[derive(Debug, Default)]
pub(super) struct Inventory {
    services: BTreeMap<ServiceName, Vec<ServiceEntry>>,
    service_serials: HashMap<SerialNumber, ServiceName>,
    records: Vec<Record>,
    by_serial: HashMap<SerialNumber, usize>,
    by_node: BTreeMap<NodeId, Vec<usize>>,
    by_key: HashMap<Fingerprint, Vec<usize>>,
    by_wireguard_key: HashMap<[u8; 32], Vec<usize>>,
    by_address: HashMap<IpAddr, Vec<usize>>,
    by_dns: HashMap<DnsName, Vec<usize>>,
}

impl Inventory {
    pub(super) fn add(&mut self, record: Record) {
        let index = self.records.len();
        let identity = record.certificate.identity();
        self.by_serial.insert(record.certificate.serial(), index);
        self.by_node
            .entry(identity.id.clone())
            .or_default()
            .push(index);
        self.by_key
            .entry(Fingerprint::of(record.certificate.spki_der()))
            .or_default()
            .push(index);
        self.by_wireguard_key
            .entry(identity.wireguard_public_key)
            .or_default()
            .push(index);
        for address in &identity.addresses {
            self.by_address.entry(*address).or_default().push(index);
        }
        for name in &identity.dns {
            self.by_dns.entry(name.clone()).or_default().push(index);
        }
        self.records.push(record);
    }

    /// Marks a certificate as revoked; `None` when it is not known.
    pub(super) fn revoke(&mut self, serial: &SerialNumber, revocation: Revocation) -> Option<()> {
        if let Some(index) = self.by_serial.get(serial) {
            self.records[*index].revoked.get_or_insert(revocation);
            return Some(());
        }
        let entries = self.services.get_mut(self.service_serials.get(serial)?)?;
        let entry = entries
            .iter_mut()
            .find(|entry| entry.certificate.serial() == *serial)?;
        entry.revoked.get_or_insert(revocation);
        Some(())
    }

    /// Tells when and why a certificate of whatever kind was revoked.
    pub(super) fn revocation(&self, serial: &SerialNumber) -> Option<Revocation> {
        if let Some(record) = self.by_serial(serial) {
            return record.revoked;
        }
        let name = self.service_serials.get(serial)?;
        self.of_service(name)
            .find(|entry| entry.certificate.serial() == *serial)?
            .revoked
    }

    pub(super) fn add_service(&mut self, entry: ServiceEntry) {
        let name = entry.certificate.name().clone();
        self.service_serials
            .insert(entry.certificate.serial(), name.clone());
        self.services.entry(name).or_default().push(entry);
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.keys()
    }

    /// Returns the certificates of a service, newest first.
    pub(super) fn of_service(&self, name: &ServiceName) -> impl Iterator<Item = &ServiceEntry> {
        self.services.get(name).into_iter().flatten().rev()
    }

    pub(super) fn live_services(
        &self,
        state: &State,
        now: Timestamp,
    ) -> impl Iterator<Item = &ServiceEntry> {
        self.services
            .values()
            .flatten()
            .filter(move |entry| state.is_service_live(entry, now))
    }

    /// Collects what an issuing authority has revoked, those left out that ended before `since`.
    pub(super) fn revoked(
        &self,
        generation: u32,
        since: Timestamp,
    ) -> impl Iterator<Item = (SerialNumber, Revocation)> + '_ {
        let nodes = self
            .records
            .iter()
            .filter(move |record| record.generation == generation)
            .map(|record| (record.certificate.certificate(), record.revoked));
        let services = self
            .services
            .values()
            .flatten()
            .filter(move |entry| entry.generation == generation)
            .map(|entry| (entry.certificate.certificate(), entry.revoked));
        nodes
            .chain(services)
            .filter(move |(certificate, _)| certificate.not_after() >= since)
            .filter_map(|(certificate, revoked)| Some((certificate.serial(), revoked?)))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub(super) fn by_serial(&self, serial: &SerialNumber) -> Option<&Record> {
        self.by_serial
            .get(serial)
            .map(|index| &self.records[*index])
    }

    /// Returns the certificates of a node, newest first.
    pub(super) fn of_node(&self, id: &NodeId) -> impl Iterator<Item = &Record> {
        self.pick(self.by_node.get(id))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.by_node.keys()
    }

    /// Returns the certificates for a TLS key, by its DER, newest first.
    pub(super) fn with_key(&self, spki: &[u8]) -> impl Iterator<Item = &Record> {
        self.pick(self.by_key.get(&Fingerprint::of(spki)))
    }

    pub(super) fn with_wireguard_key(&self, key: &[u8; 32]) -> impl Iterator<Item = &Record> {
        self.pick(self.by_wireguard_key.get(key))
    }

    pub(super) fn with_address(&self, address: IpAddr) -> impl Iterator<Item = &Record> {
        self.pick(self.by_address.get(&address))
    }

    pub(super) fn with_dns_name(&self, name: &DnsName) -> impl Iterator<Item = &Record> {
        self.pick(self.by_dns.get(name))
    }

    fn pick<'a>(&'a self, indexes: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a Record> {
        indexes
            .into_iter()
            .flatten()
            .rev()
            .map(|index| &self.records[*index])
    }
}
