//! Issuing and renewal: from the operator's grant, never from what a request asks for.

use super::event::{CertificateText, Event, InviteId};
use super::state::Record;
use super::{Error, Grant, Store, Transaction, random_serial};
use crate::{
    Certificate, CertificateRequest, NodeCertificate, NodeIdentity, SerialNumber, Timestamp,
    Validity,
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
    /// [`Error::IssuingRevoked`]; [`Error::Authority`].
    pub fn issue(
        &self,
        request: &CertificateRequest,
        grant: &Grant,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let mut transaction = self.begin()?;
        let result = transaction.issue(request, grant, Occasion::Operator, requester, now);
        transaction.audited("issue", Some(&grant.id), requester, now, result)
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
        let mut transaction = self.begin()?;
        let result = transaction.renew(current, request, requester, now);
        transaction.audited("renew", Some(current.id()), requester, now, result)
    }
}

impl Transaction<'_> {
    fn renew(
        &mut self,
        current: &NodeCertificate,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let serial = current.serial();
        let (_, record) = self
            .state()
            .by_serial(&serial)
            .filter(|(_, record)| record.certificate.certificate() == current.certificate())
            .ok_or(Error::UnknownSerial(serial))?;
        if record.revoked.is_some() {
            return Err(Error::Revoked(serial));
        }
        let newest = self.state().of_node(current.id()).next().unwrap_or(record);
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
        let identity = grant.identity(&settings, request.wireguard_public_key());
        self.check_bindings(request, &identity, occasion, now)?;
        let (generation, issuing) = self.state().current();
        if issuing.revoked.is_some() {
            return Err(Error::IssuingRevoked);
        }
        let authority = self.authority(generation, None)?;
        let lifetime = grant.lifetime.unwrap_or(settings.lifetimes.node);
        let certificate = authority.issue_node(
            request.public_key(),
            &identity,
            random_serial()?,
            Validity::starting(now, lifetime, settings.lifetimes.backdate),
        )?;
        let (invite, renews) = match occasion {
            Occasion::Operator => (None, None),
            Occasion::Invite(invite) => (Some(invite), None),
            Occasion::Renewal(serial) => (None, Some(serial)),
        };
        let event = Event::Issued {
            certificate: CertificateText(certificate.der().to_vec()),
            generation,
            grant: grant.clone(),
            invite,
            renews,
        };
        self.commit(event, requester, now)?;
        tracing::info!(node = %grant.id, serial = %certificate.serial(), requester, "issued");
        Ok(self.issued(certificate, authority.certificate().clone()))
    }

    pub(super) fn issued(&self, certificate: NodeCertificate, issuer: Certificate) -> Issued {
        Issued {
            certificate,
            issuer,
            root: self.state().root.clone(),
        }
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
        // A renewal was authenticated with the node's own certificate, so its key may change.
        if !matches!(occasion, Occasion::Renewal(_)) {
            let other_key = state
                .of_node(&identity.id)
                .find(|record| record.is_live(now) && record.key != *request.public_key());
            if let Some(record) = other_key {
                let serial = record.certificate.serial();
                return Err(Error::IdInUse {
                    id: identity.id.clone(),
                    serial,
                });
            }
        }
        let foreign = |record: &&Record| {
            record.is_live(now) && record.certificate.identity().id != identity.id
        };
        let holder = |record: &Record| record.certificate.identity().id.clone();
        if let Some(record) = state.with_key(request.public_key()).find(foreign) {
            return Err(Error::KeyInUse {
                key: "TLS",
                holder: holder(record),
            });
        }
        let wireguard_key = &identity.wireguard_public_key;
        if let Some(record) = state.with_wireguard_key(wireguard_key).find(foreign) {
            return Err(Error::KeyInUse {
                key: "WireGuard",
                holder: holder(record),
            });
        }
        for address in &identity.addresses {
            if let Some(record) = state.with_address(*address).find(foreign) {
                return Err(Error::AddressInUse {
                    address: *address,
                    holder: holder(record),
                });
            }
        }
        for name in &identity.dns {
            if let Some(record) = state.with_dns_name(name).find(foreign) {
                return Err(Error::DnsNameInUse {
                    name: name.clone(),
                    holder: holder(record),
                });
            }
        }
        Ok(())
    }
}
