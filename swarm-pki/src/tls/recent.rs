//! Certificates of handshakes that were over a moment ago, parsed already.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustls_pki_types::CertificateDer;

use crate::NodeCertificate;

/// As many as handshakes may end at once on a machine of ordinary size. What falls out is parsed
/// again, and a caller who never asks for the peer leaves no more than this behind.
const MOST: usize = 32;

/// Hands what the verifier has parsed to [`Peer`](super::Peer): between them lies rustls, which
/// keeps nothing but bytes.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<NodeCertificate>>);

impl Recent {
    pub(super) fn put(&self, certificate: NodeCertificate) {
        let mut list = self.list();
        if list.len() == MOST {
            list.pop_front();
        }
        list.push_back(certificate);
    }

    /// Takes out the certificate with exactly these bytes.
    pub(super) fn take(&self, der: &CertificateDer<'_>) -> Option<NodeCertificate> {
        let mut list = self.list();
        let at = list.iter().rposition(|one| one.der() == der)?;
        list.remove(at)
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<NodeCertificate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::TestAuthority;

    #[test]
    fn a_certificate_is_handed_over_once_and_old_ones_are_forgotten() {
        let mut authority = TestAuthority::default();
        let recent = Recent::default();
        let first = authority.issue("first", &[]).certificate;
        let second = authority.issue("second", &[]).certificate;
        recent.put(first.clone());
        recent.put(second.clone());
        assert_eq!(recent.take(first.der()), Some(first.clone()));
        assert_eq!(recent.take(first.der()), None);
        for _ in 0..MOST {
            recent.put(first.clone());
        }
        assert_eq!(recent.take(second.der()), None);
        assert_eq!(recent.list().len(), MOST);
    }
}
