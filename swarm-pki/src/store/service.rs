//! Certificates of services: for what is no node, has no tunnel, and speaks TLS all the same.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::inventory::ServiceEntry;
use super::settings::optional_seconds;
use super::state::State;
use super::{AuthorityId, Error, NodeStatus, Store, Transaction, random_serial};
use crate::{
    Certificate, DnsName, NodeId, Revocation, RevocationList, RevocationReason, SerialNumber,
    ServiceCertificate, ServiceIdentity, ServiceName, ServiceRequest, Timestamp, Usage, Validity,
};

/// What a service is certified as: the operator's decision, whatever its request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceGrant {
    /// The service's name.
    pub name: ServiceName,
    /// DNS names.
    #[serde(default)]
    pub dns: Vec<DnsName>,
    /// Addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The sides of TLS that it takes; a server alone by default.
    pub usages: BTreeSet<Usage>,
    /// The node that it runs on: that one's addresses may be its own as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<NodeId>,
    /// How long the certificate lives; `None` for the lifetime of the settings.
    #[serde(
        default,
        with = "optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub lifetime: Option<Duration>,
}

impl ServiceGrant {
    /// Makes a grant for a TLS server without names and addresses; fill in the fields.
    pub fn new(name: ServiceName) -> Self {
        Self {
            name,
            dns: Vec::new(),
            addresses: Vec::new(),
            usages: [Usage::Server].into(),
            host: None,
            lifetime: None,
        }
    }
}

/// A fresh service certificate, and what a peer needs to verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuedService {
    /// The service's certificate.
    pub certificate: ServiceCertificate,
    /// The issuing authority's certificate, which goes with it into TLS.
    pub issuer: Certificate,
    /// The root that the chain ends in; peers have it pinned.
    pub root: Certificate,
}

/// One service certificate of the inventory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceRecord {
    /// The certificate.
    pub certificate: ServiceCertificate,
    /// Whether it can be used.
    pub status: NodeStatus,
    /// The grant that it was issued by.
    pub grant: ServiceGrant,
    /// When it was issued, by the authority's clock.
    pub issued_at: Timestamp,
    /// Who asked for it.
    pub requester: String,
}

/// Who has a key, an address or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// A node.
    Node(NodeId),
    /// A service.
    Service(ServiceName),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Service(name) => write!(f, "service {name}"),
        }
    }
}

impl Store {
    /// Issues a certificate for a service that says what `grant` says. A service may be issued
    /// for again, with the same key or another.
    ///
    /// # Errors
    /// [`Error::KeyInUse`], [`Error::AddressInUse`] and [`Error::DnsNameInUse`] when a live node
    /// or another live service has what this one would have; [`Error::IssuingRevoked`],
    /// [`Error::NotOperational`]; [`Error::Authority`].
    pub fn issue_service(
        &self,
        request: &ServiceRequest,
        grant: &ServiceGrant,
        requester: &str,
        now: Timestamp,
    ) -> Result<IssuedService, Error> {
        let (request, grant, requester) = (request.clone(), grant.clone(), requester.to_owned());
        self.change(move |transaction| {
            let result = transaction.issue_service(&request, &grant, None, &requester, now);
            transaction.audited("issue-service", None, &requester, now, result)
        })
    }

    /// Issues the successor of `current` by the grant last recorded for the service, perhaps with
    /// a new key. The caller has authenticated the holder of `current`.
    ///
    /// # Errors
    /// [`Error::UnknownSerial`] when `current` was not issued here, [`Error::Revoked`] when it
    /// was revoked; else as [`issue_service`](Self::issue_service).
    pub fn renew_service(
        &self,
        current: &ServiceCertificate,
        request: &ServiceRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<IssuedService, Error> {
        let (current, request) = (current.clone(), request.clone());
        let requester = requester.to_owned();
        self.change(move |transaction| {
            let result = transaction.renew_service(&current, &request, &requester, now);
            transaction.audited("renew-service", None, &requester, now, result)
        })
    }

    /// Lists the newest certificate of every service there ever was, ordered by name.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn services(&self, now: Timestamp) -> Result<Vec<ServiceRecord>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let newest = state.inventory.services().filter_map(|name| {
            let entry = state.inventory.of_service(name).next()?;
            Some(ServiceRecord {
                certificate: entry.certificate.clone(),
                status: status(state, entry, now),
                grant: entry.grant.clone(),
                issued_at: entry.issued_at,
                requester: entry.requester.clone(),
            })
        });
        Ok(newest.collect())
    }
}

impl State {
    /// Tells whether a service's certificate can still be used by somebody.
    pub(super) fn is_service_live(&self, entry: &ServiceEntry, now: Timestamp) -> bool {
        entry.revoked.is_none()
            && entry.certificate.not_after() >= now
            && self.counts(AuthorityId::Issuing(entry.generation), now)
    }
}

fn status(state: &State, entry: &ServiceEntry, now: Timestamp) -> NodeStatus {
    match entry.revoked {
        Some(revocation) => NodeStatus::Revoked(revocation),
        None if entry.certificate.not_after() < now => NodeStatus::Expired,
        None if state.is_service_live(entry, now) => NodeStatus::Live,
        None => NodeStatus::Orphaned,
    }
}

impl Transaction<'_> {
    fn renew_service(
        &mut self,
        current: &ServiceCertificate,
        request: &ServiceRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<IssuedService, Error> {
        let serial = current.serial();
        let inventory = &self.state().inventory;
        let own = inventory
            .of_service(current.name())
            .find(|entry| entry.certificate == *current)
            .ok_or(Error::UnknownSerial(serial))?;
        if own.revoked.is_some() {
            return Err(Error::Revoked(serial));
        }
        let newest = inventory.of_service(current.name()).next().unwrap_or(own);
        let grant = newest.grant.clone();
        self.issue_service(request, &grant, Some(serial), requester, now)
    }

    fn issue_service(
        &mut self,
        request: &ServiceRequest,
        grant: &ServiceGrant,
        renews: Option<SerialNumber>,
        requester: &str,
        now: Timestamp,
    ) -> Result<IssuedService, Error> {
        let settings = self.state().settings.clone();
        let mut identity = ServiceIdentity::new(settings.swarm.clone(), grant.name.clone());
        identity.dns = grant.dns.clone();
        identity.addresses = grant.addresses.clone();
        identity.usages = grant.usages.clone();
        self.check_service(request, grant, now)?;
        let generation = self.state().active.ok_or(Error::NotOperational)?;
        let id = AuthorityId::Issuing(generation);
        let issuing = self.known(id)?;
        if issuing.revoked.is_some() {
            return Err(Error::IssuingRevoked);
        }
        let root = self.known(issuing.parent.ok_or(Error::NotOperational)?)?;
        let (issuer, root) = (issuing.certificate.clone(), root.certificate.clone());
        let lifetime = grant.lifetime.unwrap_or(settings.lifetimes.service);
        let certificate = self.signer(id)?.issue_service(
            request.public_key(),
            &identity,
            random_serial()?,
            Validity::starting(now, lifetime, settings.lifetimes.backdate),
        )?;
        let event = Event::ServiceIssued {
            certificate: certificate.clone(),
            generation,
            grant: grant.clone(),
            renews,
        };
        self.record(event, requester, now)?;
        tracing::info!(service = %grant.name, serial = %certificate.serial(), requester, "issued");
        Ok(IssuedService {
            certificate,
            issuer,
            root,
        })
    }

    /// Refuses what a live node or another live service has already.
    fn check_service(
        &self,
        request: &ServiceRequest,
        grant: &ServiceGrant,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = self.state();
        let inventory = &state.inventory;
        let spki = request.public_key().spki_der();
        if let Some(record) = inventory
            .with_key(spki)
            .find(|record| state.is_live(record, now))
        {
            return Err(Error::KeyInUse {
                key: "TLS",
                holder: Holder::Node(record.certificate.id().clone()),
            });
        }
        for address in &grant.addresses {
            let taken = inventory.with_address(*address).find(|record| {
                state.is_live(record, now) && Some(record.certificate.id()) != grant.host.as_ref()
            });
            if let Some(record) = taken {
                return Err(Error::AddressInUse {
                    address: *address,
                    holder: Holder::Node(record.certificate.id().clone()),
                });
            }
        }
        for name in &grant.dns {
            let taken = inventory
                .with_dns_name(name)
                .find(|record| state.is_live(record, now));
            if let Some(record) = taken {
                return Err(Error::DnsNameInUse {
                    name: name.clone(),
                    holder: Holder::Node(record.certificate.id().clone()),
                });
            }
        }
        let others = inventory
            .live_services(state, now)
            .filter(|entry| *entry.certificate.name() != grant.name);
        for other in others {
            let holder = || Holder::Service(other.certificate.name().clone());
            if other.certificate.spki_der() == spki {
                return Err(Error::KeyInUse {
                    key: "TLS",
                    holder: holder(),
                });
            }
            if let Some(name) = grant.dns.iter().find(|name| other.grant.dns.contains(name)) {
                return Err(Error::DnsNameInUse {
                    name: name.clone(),
                    holder: holder(),
                });
            }
            let shares = grant.host.is_some() && grant.host == other.grant.host;
            let taken = grant
                .addresses
                .iter()
                .find(|address| other.grant.addresses.contains(address));
            if let (Some(address), false) = (taken, shares) {
                return Err(Error::AddressInUse {
                    address: *address,
                    holder: holder(),
                });
            }
        }
        Ok(())
    }

    /// Revokes every live certificate of a service.
    pub(super) fn revoke_service(
        &mut self,
        service: &ServiceName,
        reason: RevocationReason,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        let inventory = &self.state().inventory;
        if inventory.of_service(service).next().is_none() {
            return Err(Error::UnknownService(service.clone()));
        }
        let mut by_authority: std::collections::BTreeMap<u32, Vec<SerialNumber>> =
            Default::default();
        for entry in inventory.of_service(service) {
            if entry.revoked.is_none() && entry.certificate.not_after() >= now {
                let serials = by_authority.entry(entry.generation).or_default();
                serials.push(entry.certificate.serial());
            }
        }
        let revocation = Revocation { at: now, reason };
        let (mut lists, crls) = self.revoke_serials(&by_authority, revocation, now)?;
        let newest = lists
            .pop()
            .ok_or_else(|| Error::NothingToRevoke(service.to_string()))?;
        let event = Event::ServiceRevoked {
            service: service.clone(),
            serials: by_authority.into_values().flatten().collect(),
            revocation,
            crls: crls.clone(),
        };
        tracing::info!(%service, %reason, requester, "revoked");
        self.record_crls(event, &crls, requester, now)?;
        Ok(newest)
    }
}
