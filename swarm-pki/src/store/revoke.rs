//! Revocation of nodes, services and single certificates.

use std::collections::BTreeMap;

use super::event::{CrlRef, Event};
use super::{AuthorityId, Error, Store, Transaction};
use crate::{
    NodeId, Revocation, RevocationList, RevocationReason, SerialNumber, ServiceName, Timestamp,
};

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Every live certificate of a node; its open invites are cancelled.
    Node(NodeId),
    /// One certificate of a node. For [`RevocationReason::KeyCompromise`] every live one with the same key.
    Serial(SerialNumber),
    /// Every live certificate of a service.
    Service(ServiceName),
}

impl Store {
    /// Revokes a node, a service or one certificate, and returns the newest list of the authority concerned
    /// (of the newest such authority, when a node's certificates came from several).
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::UnknownService`], [`Error::UnknownSerial`],
    /// [`Error::NothingToRevoke`].
    pub fn revoke(
        &self,
        target: &Target,
        reason: RevocationReason,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        let (target, requester) = (target.clone(), requester.to_owned());
        self.change(move |transaction| {
            let result = transaction.revoke(&target, reason, &requester, now);
            let node = match &target {
                Target::Node(id) => Some(id),
                Target::Serial(_) | Target::Service(_) => None,
            };
            transaction.audited("revoke", node, &requester, now, result)
        })
    }
}

impl Transaction<'_> {
    fn revoke(
        &mut self,
        target: &Target,
        reason: RevocationReason,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        if let Target::Service(service) = target {
            return self.revoke_service(service, reason, requester, now);
        }
        let inventory = &self.state().inventory;
        let (node, records): (NodeId, Vec<_>) = match target {
            Target::Node(id) => {
                let mut records = inventory.of_node(id).peekable();
                if records.peek().is_none() {
                    return Err(Error::UnknownNode(id.clone()));
                }
                (
                    id.clone(),
                    records.filter(|record| record.is_live(now)).collect(),
                )
            }
            Target::Serial(serial) => {
                let record = inventory
                    .by_serial(serial)
                    .ok_or(Error::UnknownSerial(*serial))?;
                let same_key = inventory.with_key(record.certificate.spki_der());
                // Whoever has the key has every certificate that was issued for it.
                let all = reason == RevocationReason::KeyCompromise;
                let live = same_key
                    .filter(|one| one.is_live(now) && (all || one.certificate.serial() == *serial));
                (record.certificate.id().clone(), live.collect())
            }
            Target::Service(service) => return Err(Error::UnknownService(service.clone())),
        };
        if records.is_empty() {
            let what = match target {
                Target::Node(id) => id.to_string(),
                Target::Serial(serial) => serial.to_string(),
                Target::Service(service) => service.to_string(),
            };
            return Err(Error::NothingToRevoke(what));
        }
        let revocation = Revocation { at: now, reason };
        let mut by_authority: BTreeMap<u32, Vec<SerialNumber>> = BTreeMap::new();
        for record in records {
            by_authority
                .entry(record.generation)
                .or_default()
                .push(record.certificate.serial());
        }
        let (mut lists, crls) = self.revoke_serials(&by_authority, revocation, now)?;
        let whole_node = matches!(target, Target::Node(_));
        let serials = by_authority.into_values().flatten().collect();
        tracing::info!(%node, %reason, requester, "revoked");
        let event = Event::Revoked {
            node,
            serials,
            revocation,
            whole_node,
            crls: crls.clone(),
        };
        self.record_crls(event, &crls, requester, now)?;
        Ok(lists.pop().expect("at least one certificate is revoked"))
    }

    /// Signs the list of each authority concerned.
    pub(super) fn revoke_serials(
        &mut self,
        by_authority: &BTreeMap<u32, Vec<SerialNumber>>,
        revocation: Revocation,
        now: Timestamp,
    ) -> Result<(Vec<RevocationList>, Vec<CrlRef>), Error> {
        let mut lists = Vec::new();
        let mut crls = Vec::new();
        for (generation, serials) in by_authority {
            let id = AuthorityId::Issuing(*generation);
            let mut revoked = self.revoked(id, now);
            revoked.extend(serials.iter().map(|serial| (*serial, revocation)));
            let authority = self.signer(id)?;
            let (list, crl) = self.sign_crl(&authority, id, revoked, now)?;
            lists.push(list);
            crls.push(crl);
        }
        Ok((lists, crls))
    }
}
