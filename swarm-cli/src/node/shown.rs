//! What of a node's files a server has read, to know when it must read them again.

use std::sync::{Mutex, PoisonError};

use swarm_pki::{Certificate, Fingerprint};

use crate::member::Member;

/// The roots and the certificate that a server was last told to read.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Vec<Fingerprint>>);

impl Shown {
    /// Tells whether they are others than when it was last asked.
    pub(super) fn differs(&self, member: &Member) -> bool {
        let tls = member.tls();
        let mut files: Vec<Fingerprint> =
            tls.trust().roots().map(Certificate::fingerprint).collect();
        files.push(tls.certificate().fingerprint());
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *read, files.clone()) != files
    }
}
