//! One authority that is believed, and what it revoked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::key::PublicKey;
use crate::{Certificate, CrlError, KeyError, Revocation, RevocationList, SerialNumber, Timestamp};

/// An authority that is believed, and the newest revocation list it signed.
#[derive(Clone)]
pub(super) struct Believed {
    pub(super) certificate: Certificate,
    pub(super) key: PublicKey,
    pub(super) crl: Option<RevocationList>,
    /// What other lists revoked and the newest one does not mention. A restored backup of an
    /// authority must not bring a stolen node back, in whichever order its lists come.
    dropped: Arc<HashMap<SerialNumber, Revocation>>,
}

impl Believed {
    pub(super) fn new(certificate: Certificate) -> Result<Self, KeyError> {
        let key = certificate.public_key()?;
        Ok(Self {
            certificate,
            key,
            crl: None,
            dropped: Arc::default(),
        })
    }

    /// Tells whether `subject` names this authority as its issuer.
    pub(super) fn is_named_by(&self, subject: &Certificate) -> bool {
        subject.issuer_der() == self.certificate.subject_der()
            && match (
                subject.authority_key_id(),
                self.certificate.subject_key_id(),
            ) {
                (Some(wanted), Some(offered)) => wanted == offered,
                _ => true,
            }
    }

    /// Tells whether `certificate` has this authority's name and key.
    pub(super) fn is_certified_by(&self, certificate: &Certificate) -> bool {
        certificate.subject_der() == self.certificate.subject_der()
            && certificate.spki_der() == self.certificate.spki_der()
    }

    /// Takes over the lists of another certificate for the same name and key.
    pub(super) fn take_lists_of(&mut self, twin: &Self) {
        self.crl.clone_from(&twin.crl);
        self.dropped.clone_from(&twin.dropped);
    }

    pub(super) fn revocation(&self, serial: &SerialNumber) -> Option<Revocation> {
        self.crl
            .as_ref()
            .and_then(|crl| crl.lookup(serial))
            .or_else(|| self.dropped.get(serial).copied())
    }

    /// Takes a list that this authority signed; tells whether it took the place of the known one.
    pub(super) fn take_crl(&mut self, crl: &RevocationList) -> Result<bool, CrlError> {
        let verdict = match &self.crl {
            None => Ok(true),
            Some(known) => match crl.supersedes(known) {
                // Both are the authority's word: the later one counts, wherever it comes first.
                Err(CrlError::Fork(_)) if later(crl, known) => Ok(true),
                verdict => verdict,
            },
        };
        match verdict {
            Ok(false) => {}
            Ok(true) => {
                if let Some(known) = self.crl.replace(crl.clone()) {
                    self.remember(&known, crl);
                }
            }
            Err(_) => {
                if let Some(known) = self.crl.clone() {
                    self.remember(crl, &known);
                }
            }
        }
        verdict
    }

    /// Remembers what `old` revoked and `new` does not mention.
    fn remember(&mut self, old: &RevocationList, new: &RevocationList) {
        for (serial, revocation) in old.missing_from(new) {
            let known = Arc::make_mut(&mut self.dropped)
                .entry(serial)
                .or_insert(revocation);
            if (revocation.at, revocation.reason.as_str()) < (known.at, known.reason.as_str()) {
                *known = revocation;
            }
        }
    }

    /// How much of older lists is remembered.
    pub(super) fn dropped(&self) -> usize {
        self.dropped.len()
    }

    /// Returns when its newest list was made.
    pub(super) fn this_update(&self) -> Option<Timestamp> {
        self.crl.as_ref().map(RevocationList::this_update)
    }
}

/// Orders two lists with one number, the same way on every node.
fn later(offered: &RevocationList, known: &RevocationList) -> bool {
    (offered.this_update(), offered.len(), offered.der().as_ref())
        > (known.this_update(), known.len(), known.der().as_ref())
}
