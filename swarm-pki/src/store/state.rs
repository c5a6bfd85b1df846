//! What the journal adds up to.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::event::{CertificateText, CrlRef, Entry, Event, InviteId};
use super::{Grant, Settings};
use crate::{
    Certificate, DnsName, Fingerprint, NodeCertificate, NodeId, PublicKey, Revocation,
    SerialNumber, Timestamp,
};

/// The number of the root among the authorities; issuing authorities count from 1.
pub(super) const ROOT: u32 = 0;

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) root: Certificate,
    pub(super) root_encrypted: bool,
    /// By generation; the last one issues.
    pub(super) issuing: BTreeMap<u32, Issuing>,
    /// By generation, [`ROOT`] included.
    pub(super) crls: BTreeMap<u32, CrlRef>,
    pub(super) records: Vec<Record>,
    by_serial: HashMap<SerialNumber, usize>,
    by_node: BTreeMap<NodeId, Vec<usize>>,
    by_key: HashMap<PublicKey, Vec<usize>>,
    by_wireguard_key: HashMap<[u8; 32], Vec<usize>>,
    by_address: HashMap<IpAddr, Vec<usize>>,
    by_dns: HashMap<DnsName, Vec<usize>>,
    pub(super) invites: HashMap<InviteId, Invite>,
}

#[derive(Debug)]
pub(super) struct Issuing {
    pub(super) certificate: Certificate,
    pub(super) revoked: Option<Revocation>,
}

/// One certificate of the inventory.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) certificate: NodeCertificate,
    pub(super) key: PublicKey,
    pub(super) generation: u32,
    pub(super) grant: Grant,
    pub(super) issued_at: Timestamp,
    pub(super) requester: String,
    pub(super) revoked: Option<Revocation>,
}

impl Record {
    /// Tells whether the certificate can still be used by somebody.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.certificate.not_after() >= now
    }
}

#[derive(Debug)]
pub(super) struct Invite {
    pub(super) secret_sha256: Fingerprint,
    pub(super) grant: Grant,
    pub(super) expires: Timestamp,
    pub(super) invited_at: Timestamp,
    pub(super) requester: String,
    /// When, and with which certificate.
    pub(super) spent: Option<(Timestamp, SerialNumber)>,
    pub(super) cancelled: bool,
}

impl State {
    /// Replays a whole journal; the fault names its line.
    pub(super) fn replay(entries: Vec<Entry>) -> Result<Self, String> {
        let mut entries = entries.into_iter();
        let mut state = match entries.next().map(|entry| (entry.at, entry.event)) {
            Some((
                _,
                Event::Initialized {
                    settings,
                    root,
                    root_encrypted,
                    issuing,
                    crls,
                },
            )) => {
                let mut state = Self {
                    settings,
                    root: read(&root).map_err(|fault| format!("line 1: {fault}"))?,
                    root_encrypted,
                    issuing: BTreeMap::new(),
                    crls: BTreeMap::new(),
                    records: Vec::new(),
                    by_serial: HashMap::new(),
                    by_node: BTreeMap::new(),
                    by_key: HashMap::new(),
                    by_wireguard_key: HashMap::new(),
                    by_address: HashMap::new(),
                    by_dns: HashMap::new(),
                    invites: HashMap::new(),
                };
                state
                    .add_issuing(1, &issuing)
                    .map_err(|fault| format!("line 1: {fault}"))?;
                state.take_crls(&crls);
                state
            }
            _ => return Err("line 1: the beginning is missing".into()),
        };
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Adds one committed entry.
    pub(super) fn apply(&mut self, entry: Entry) -> Result<(), String> {
        let line = entry.sequence;
        self.take(entry)
            .map_err(|fault| format!("line {line}: {fault}"))
    }

    fn take(&mut self, entry: Entry) -> Result<(), String> {
        match entry.event {
            Event::Initialized { .. } => return Err("a second beginning".into()),
            Event::Issued {
                certificate,
                generation,
                grant,
                invite,
                renews: _,
            } => {
                let certificate =
                    NodeCertificate::from_der(&certificate.0).map_err(|fault| fault.to_string())?;
                if let Some(invite) = invite {
                    let spent = (entry.at, certificate.serial());
                    self.invites
                        .get_mut(&invite)
                        .ok_or("an unknown invite")?
                        .spent = Some(spent);
                }
                let key = certificate
                    .public_key()
                    .map_err(|fault| fault.to_string())?;
                self.add_record(Record {
                    certificate,
                    key,
                    generation,
                    grant,
                    issued_at: entry.at,
                    requester: entry.requester,
                    revoked: None,
                });
            }
            Event::Revoked {
                node,
                serials,
                revocation,
                whole_node,
                crls,
            } => {
                for serial in serials {
                    let index = *self
                        .by_serial
                        .get(&serial)
                        .ok_or("an unknown certificate")?;
                    self.records[index].revoked = Some(revocation);
                }
                if whole_node {
                    let open = self
                        .invites
                        .values_mut()
                        .filter(|invite| invite.spent.is_none());
                    open.filter(|invite| invite.grant.id == node)
                        .for_each(|invite| invite.cancelled = true);
                }
                self.take_crls(&crls);
            }
            Event::CrlsRefreshed { crls } => self.take_crls(&crls),
            Event::IssuingRotated {
                generation,
                issuing,
                crls,
            } => {
                self.add_issuing(generation, &issuing)?;
                self.take_crls(&crls);
            }
            Event::IssuingRevoked {
                generation,
                revocation,
                crls,
            } => {
                self.issuing
                    .get_mut(&generation)
                    .ok_or("an unknown generation")?
                    .revoked = Some(revocation);
                self.take_crls(&crls);
            }
            Event::Invited {
                invite,
                secret_sha256,
                grant,
                expires,
            } => {
                self.invites.insert(
                    invite,
                    Invite {
                        secret_sha256,
                        grant,
                        expires,
                        invited_at: entry.at,
                        requester: entry.requester,
                        spent: None,
                        cancelled: false,
                    },
                );
            }
            Event::Refused { .. } => {}
        }
        Ok(())
    }

    fn add_issuing(&mut self, generation: u32, text: &CertificateText) -> Result<(), String> {
        let certificate = read(text)?;
        self.issuing.insert(
            generation,
            Issuing {
                certificate,
                revoked: None,
            },
        );
        Ok(())
    }

    fn take_crls(&mut self, crls: &[CrlRef]) {
        self.crls
            .extend(crls.iter().map(|crl| (crl.generation, *crl)));
    }

    fn add_record(&mut self, record: Record) {
        let index = self.records.len();
        let identity = record.certificate.identity();
        self.by_serial.insert(record.certificate.serial(), index);
        self.by_node
            .entry(identity.id.clone())
            .or_default()
            .push(index);
        self.by_key
            .entry(record.key.clone())
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

    /// Returns the generation that issues now.
    pub(super) fn current(&self) -> (u32, &Issuing) {
        let (generation, issuing) = self
            .issuing
            .last_key_value()
            .expect("there is generation 1");
        (*generation, issuing)
    }

    /// Returns the certificate of an authority, the root's for [`ROOT`].
    pub(super) fn authority(&self, generation: u32) -> Option<&Certificate> {
        if generation == ROOT {
            return Some(&self.root);
        }
        self.issuing
            .get(&generation)
            .map(|issuing| &issuing.certificate)
    }

    pub(super) fn by_serial(&self, serial: &SerialNumber) -> Option<(usize, &Record)> {
        self.by_serial
            .get(serial)
            .map(|index| (*index, &self.records[*index]))
    }

    /// Returns the certificates of a node, newest first.
    pub(super) fn of_node(&self, id: &NodeId) -> impl Iterator<Item = &Record> {
        self.pick(self.by_node.get(id))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.by_node.keys()
    }

    pub(super) fn with_key(&self, key: &PublicKey) -> impl Iterator<Item = &Record> {
        self.pick(self.by_key.get(key))
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

fn read(text: &CertificateText) -> Result<Certificate, String> {
    Certificate::from_der(&text.0).map_err(|fault| fault.to_string())
}
