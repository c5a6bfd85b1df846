//! Issuing and renewal: from the operator's grant, never from what a request asks for.

use super::event::{Event, InviteId};
use super::inventory::Record;
use super::policy::terms;
use super::{AuthorityId, Error, Grant, Holder, Store, Transaction, random_serial};
use crate::{
    Certificate, CertificateRequest, NodeCertificate, NodeIdentity, RevocationReason, SerialNumber,
    Timestamp, Validity,
};

/// A fresh node certificate, and what a peer needs to verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The node's certificate.
    pub certificate: NodeCertificate,
    /// The issuing authority's certificate, which goes with it into TLS.
    pub issuer: Certificate,
    /// The root that the chain ends in; peers have it pinned.
    pub root: Certificate,
}

/// For which reason a certificate is issued.
#[derive(Clone, Copy)]
pub(super) enum Occasion {
    Operator,
    Invite(InviteId),
    Renewal(SerialNumber),
    /// Past its end, proved by the key and approved by an operator.
    Reenrolment(SerialNumber),
}

impl Store {
    /// Issues a certificate for the request's keys that says what `grant` says. `requester` goes
    /// into the audit log.
    ///
    /// A node may be issued for again with the same key, for instance with other roles.
    ///
    /// # Errors
    /// [`Error::IdInUse`], [`Error::KeyInUse`], [`Error::AddressInUse`] and
    /// [`Error::DnsNameInUse`] when another live certificate has what this one would have;
    /// [`Error::Policy`] when the grant breaks the policy of its roles;
    /// [`Error::IssuingRevoked`], [`Error::NotOperational`]; [`Error::Authority`].
    pub fn issue(
        &self,
        request: &CertificateRequest,
        grant: &Grant,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let (request, grant, requester) = (request.clone(), grant.clone(), requester.to_owned());
        self.change(move |transaction| transaction.issue_audited(&request, &grant, &requester, now))
    }

    /// Issues for many nodes at once, each by itself: one refusal stops none of the others. All
    /// of them are written together.
    ///
    /// # Errors
    /// As every change: [`Error::Held`], [`Error::Io`]; then nothing was issued. Each result is
    /// as that of [`issue`](Self::issue).
    pub fn issue_many(
        &self,
        wanted: &[(CertificateRequest, Grant)],
        requester: &str,
        now: Timestamp,
    ) -> Result<Vec<Result<Issued, Error>>, Error> {
        let (wanted, requester) = (wanted.to_vec(), requester.to_owned());
        self.change(move |transaction| {
            Ok(wanted
                .iter()
                .map(|(request, grant)| transaction.issue_audited(request, grant, &requester, now))
                .collect())
        })
    }

    /// Issues the successor of `current`: the same grant as last recorded for the node, perhaps
    /// with new keys. The caller has authenticated the holder of `current`, as a mutual TLS
    /// handshake does.
    ///
    /// # Errors
    /// [`Error::UnknownSerial`] when `current` was not issued here, [`Error::Revoked`] when it
    /// was revoked; else as [`issue`](Self::issue).
    pub fn renew(
        &self,
        current: &NodeCertificate,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let (current, request, requester) =
            (current.clone(), request.clone(), requester.to_owned());
        self.change(move |transaction| {
            let result = transaction.renew(&current, &request, &requester, now);
            transaction.audited("renew", Some(current.id()), &requester, now, result)
        })
    }
}

impl Transaction<'_> {
    fn issue_audited(
        &mut self,
        request: &CertificateRequest,
        grant: &Grant,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let result = self.issue(request, grant, Occasion::Operator, requester, now);
        self.audited("issue", Some(&grant.id), requester, now, result)
    }

    fn renew(
        &mut self,
        current: &NodeCertificate,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let serial = current.serial();
        let record = self
            .state()
            .inventory
            .by_serial(&serial)
            .filter(|record| record.certificate.certificate() == current.certificate())
            .ok_or(Error::UnknownSerial(serial))?;
        if record.revoked.is_some() {
            return Err(Error::Revoked(serial));
        }
        let newest = self.state().inventory.of_node(current.id()).next();
        let newest = newest.unwrap_or(record);
        let grant = newest.grant.clone();
        self.issue(request, &grant, Occasion::Renewal(serial), requester, now)
    }

    pub(super) fn issue(
        &mut self,
        request: &CertificateRequest,
        grant: &Grant,
        occasion: Occasion,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let settings = self.state().settings.clone();
        let terms = terms(grant, &settings).map_err(Error::Policy)?;
        let mut identity = grant.identity(&settings, request.wireguard_public_key());
        identity.usages = terms.usages;
        self.check_bindings(request, &identity, occasion, now)?;
        let generation = self.state().active.ok_or(Error::NotOperational)?;
        let id = AuthorityId::Issuing(generation);
        if self.known(id)?.revoked.is_some() {
            return Err(Error::IssuingRevoked);
        }
        let authority = self.signer(id)?;
        let certificate = authority.issue_node(
            request.public_key(),
            &identity,
            random_serial()?,
            Validity::starting(now, terms.lifetime, settings.lifetimes.backdate),
        )?;
        let (invite, renews) = match occasion {
            Occasion::Operator => (None, None),
            Occasion::Invite(invite) => (Some(invite), None),
            Occasion::Renewal(serial) | Occasion::Reenrolment(serial) => (None, Some(serial)),
        };
        let event = Event::Issued {
            certificate: certificate.clone(),
            generation,
            grant: grant.clone(),
            invite,
            renews,
            reenrolment: matches!(occasion, Occasion::Reenrolment(_)),
        };
        self.record(event, requester, now)?;
        tracing::info!(node = %grant.id, serial = %certificate.serial(), requester, "issued");
        self.issued(certificate, generation)
    }

    /// Puts the chain of a certificate together.
    pub(super) fn issued(
        &self,
        certificate: NodeCertificate,
        generation: u32,
    ) -> Result<Issued, Error> {
        let issuing = self.known(AuthorityId::Issuing(generation))?;
        let root = self.known(issuing.parent.ok_or(Error::NotOperational)?)?;
        Ok(Issued {
            certificate,
            issuer: issuing.certificate.clone(),
            root: root.certificate.clone(),
        })
    }

    /// Refuses what another live certificate has already.
    fn check_bindings(
        &self,
        request: &CertificateRequest,
        identity: &NodeIdentity,
        occasion: Occasion,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = self.state();
        let inventory = &state.inventory;
        let spki = request.public_key().spki_der();
        let wireguard_key = &identity.wireguard_public_key;
        check_compromise("TLS", inventory.with_key(spki))?;
        check_compromise("WireGuard", inventory.with_wireguard_key(wireguard_key))?;
        // A renewal was authenticated with the node's own certificate, so its key may change.
        if !matches!(occasion, Occasion::Renewal(_)) {
            let other_key = inventory
                .of_node(&identity.id)
                .find(|record| state.is_live(record, now) && record.certificate.spki_der() != spki);
            if let Some(record) = other_key {
                let serial = record.certificate.serial();
                return Err(Error::IdInUse {
                    id: identity.id.clone(),
                    serial,
                });
            }
        }
        let foreign = |record: &&Record| {
            state.is_live(record, now) && record.certificate.identity().id != identity.id
        };
        let holder = |record: &Record| Holder::Node(record.certificate.identity().id.clone());
        if let Some(record) = inventory.with_key(spki).find(foreign) {
            return Err(Error::KeyInUse {
                key: "TLS",
                holder: holder(record),
            });
        }
        if let Some(record) = inventory.with_wireguard_key(wireguard_key).find(foreign) {
            return Err(Error::KeyInUse {
                key: "WireGuard",
                holder: holder(record),
            });
        }
        for address in &identity.addresses {
            if let Some(record) = inventory.with_address(*address).find(foreign) {
                return Err(Error::AddressInUse {
                    address: *address,
                    holder: holder(record),
                });
            }
        }
        for name in &identity.dns {
            if let Some(record) = inventory.with_dns_name(name).find(foreign) {
                return Err(Error::DnsNameInUse {
                    name: name.clone(),
                    holder: holder(record),
                });
            }
        }
        self.check_services(request, identity, now)
    }

    /// Refuses what a live service has already; a node shares its addresses with its services.
    fn check_services(
        &self,
        request: &CertificateRequest,
        identity: &NodeIdentity,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = self.state();
        for service in state.inventory.live_services(state, now) {
            let grant = &service.grant;
            let holder = || Holder::Service(grant.name.clone());
            if service.certificate.spki_der() == request.public_key().spki_der() {
                return Err(Error::KeyInUse {
                    key: "TLS",
                    holder: holder(),
                });
            }
            if let Some(name) = identity.dns.iter().find(|name| grant.dns.contains(name)) {
                return Err(Error::DnsNameInUse {
                    name: name.clone(),
                    holder: holder(),
                });
            }
            let mut addresses = identity.addresses.iter();
            let taken = addresses.find(|address| grant.addresses.contains(address));
            if let Some(address) = taken
                && grant.host.as_ref() != Some(&identity.id)
            {
                return Err(Error::AddressInUse {
                    address: *address,
                    holder: holder(),
                });
            }
        }
        Ok(())
    }
}

/// Refuses a key that somebody else may have: one that a certificate was revoked for.
fn check_compromise<'a>(
    key: &'static str,
    mut records: impl Iterator<Item = &'a Record>,
) -> Result<(), Error> {
    let compromised = |record: &&Record| {
        let revoked = record.revoked.map(|revocation| revocation.reason);
        revoked == Some(RevocationReason::KeyCompromise)
    };
    match records.find(compromised) {
        Some(record) => Err(Error::CompromisedKey {
            key,
            serial: record.certificate.serial(),
        }),
        None => Ok(()),
    }
}
