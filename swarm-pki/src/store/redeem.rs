//! Invites made, checked and redeemed: spent exactly when a certificate is issued.

use super::event::Event;
use super::issue::Occasion;
use super::policy::terms;
use super::state::Invite;
use super::{Error, InviteInfo, InviteSecret, InviteSpec, Issued, Store, Transaction, random};
use crate::{CertificateRequest, NodeId, Timestamp};

impl Store {
    /// Makes an invite and returns its secret, which is shown this once: only its hash is kept.
    ///
    /// # Errors
    /// [`Error::Policy`] when the grant could never be issued by; [`Error::Held`], [`Error::Io`],
    /// [`Error::Randomness`].
    pub fn invite(
        &self,
        spec: &InviteSpec,
        requester: &str,
        now: Timestamp,
    ) -> Result<InviteSecret, Error> {
        let secret = InviteSecret::from_bytes(random()?);
        let event = Event::Invited {
            invite: secret.id(),
            secret_sha256: secret.digest(),
            grant: spec.grant.clone(),
            expires: spec.expires,
        };
        let requester = requester.to_owned();
        self.change(move |transaction| {
            if let Event::Invited { grant, .. } = &event {
                let checked = terms(grant, &transaction.state().settings);
                let result = checked.map(|_| ()).map_err(Error::Policy);
                let id = grant.id.clone();
                transaction.audited("invite", Some(&id), &requester, now, result)?;
            }
            transaction.record(event, &requester, now)
        })?;
        Ok(secret)
    }

    /// Tells what an invite is good for, without spending it.
    ///
    /// # Errors
    /// [`Error::InviteUnknown`], [`Error::InviteWrong`], [`Error::InviteSpent`],
    /// [`Error::InviteExpired`], [`Error::InviteCancelled`].
    pub fn check_invite(&self, secret: &InviteSecret, now: Timestamp) -> Result<InviteInfo, Error> {
        let memory = self.current()?;
        let invite = find(memory.state.invites.get(&secret.id()), secret)?;
        check_open(invite, now)?;
        Ok(info(invite))
    }

    /// Lists the invites that can still be redeemed.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn open_invites(&self, now: Timestamp) -> Result<Vec<InviteInfo>, Error> {
        let memory = self.current()?;
        let open = memory
            .state
            .invites
            .values()
            .filter(|invite| check_open(invite, now).is_ok());
        let mut list: Vec<InviteInfo> = open.map(info).collect();
        list.sort_by(|a, b| (&a.grant.id, a.invited_at).cmp(&(&b.grant.id, b.invited_at)));
        Ok(list)
    }

    /// Redeems an invite: issues the certificate it stands for and spends it, in one transaction.
    ///
    /// Asked again with the same keys, it returns the certificate that was issued: an answer that
    /// got lost on the way costs nothing, and nobody but the holder of the key gains from it.
    ///
    /// # Errors
    /// As [`check_invite`](Self::check_invite) and [`issue`](Self::issue).
    pub fn redeem(
        &self,
        secret: &InviteSecret,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let (secret, request) = (secret.clone(), request.clone());
        let requester = requester.to_owned();
        self.change(move |transaction| {
            let node = transaction
                .state()
                .invites
                .get(&secret.id())
                .map(|invite| invite.grant.id.clone());
            let result = transaction.redeem(&secret, &request, &requester, now);
            transaction.audited("redeem", node.as_ref(), &requester, now, result)
        })
    }
}

impl Transaction<'_> {
    fn redeem(
        &mut self,
        secret: &InviteSecret,
        request: &CertificateRequest,
        requester: &str,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let invite = find(self.state().invites.get(&secret.id()), secret)?;
        if let Some(again) = self.issued_before(invite, request, now) {
            return again;
        }
        check_open(invite, now)?;
        let grant = invite.grant.clone();
        self.issue(
            request,
            &grant,
            Occasion::Invite(secret.id()),
            requester,
            now,
        )
    }

    /// Finds the live certificate that this invite was spent on, when it is for the same keys.
    fn issued_before(
        &self,
        invite: &Invite,
        request: &CertificateRequest,
        now: Timestamp,
    ) -> Option<Result<Issued, Error>> {
        let (_, serial) = invite.spent?;
        let record = self.state().inventory.by_serial(&serial)?;
        let wireguard_key = record.certificate.identity().wireguard_public_key;
        let same = self.state().is_live(record, now)
            && record.certificate.spki_der() == request.public_key().spki_der()
            && wireguard_key == request.wireguard_public_key();
        same.then(|| self.issued(record.certificate.clone(), record.generation))
    }
}

fn find<'a>(invite: Option<&'a Invite>, secret: &InviteSecret) -> Result<&'a Invite, Error> {
    let invite = invite.ok_or(Error::InviteUnknown)?;
    if secret.matches(&invite.secret_sha256) {
        Ok(invite)
    } else {
        Err(Error::InviteWrong)
    }
}

fn check_open(invite: &Invite, now: Timestamp) -> Result<(), Error> {
    match invite.spent {
        Some((at, _)) => Err(Error::InviteSpent { at }),
        None if invite.cancelled => Err(Error::InviteCancelled),
        None if now > invite.expires => Err(Error::InviteExpired(invite.expires)),
        None => Ok(()),
    }
}

fn info(invite: &Invite) -> InviteInfo {
    InviteInfo {
        grant: invite.grant.clone(),
        invited_at: invite.invited_at,
        requester: invite.requester.clone(),
        expires: invite.expires,
        spent_at: invite.spent.map(|(at, _)| at),
    }
}

impl InviteInfo {
    /// Returns the node that the invite is for.
    pub fn node(&self) -> &NodeId {
        &self.grant.id
    }
}
