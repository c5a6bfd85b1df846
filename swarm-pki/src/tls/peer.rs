//! A verified peer, and the watch over its certificate for as long as a connection lives.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::time::sleep;

use super::MeshTls;
use crate::{NodeCertificate, NodeId, VerifyError};

/// The longest sleep between two looks at the clock: a machine's clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);

/// A peer whose certificate was verified in the handshake.
#[derive(Debug, Clone)]
pub struct Peer {
    certificate: NodeCertificate,
    /// What the peer presented, its own certificate first.
    chain: Vec<CertificateDer<'static>>,
}

impl Peer {
    pub(super) fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let certificate = NodeCertificate::from_der(chain.first()?).ok()?;
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Some(Self { certificate, chain })
    }

    /// Returns the peer's certificate.
    pub fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// Returns the peer's name.
    pub fn id(&self) -> &NodeId {
        self.certificate.id()
    }
}

impl MeshTls {
    /// Completes as soon as the peer's certificate is no longer trusted, and says why: it was
    /// revoked, it has expired, its authority was retired.
    ///
    /// Whoever serves a connection runs this beside it and drops the connection when it completes.
    /// It looks again at every change of trust, when the certificate ends, and every 30 s.
    pub fn guard(&self, peer: &Peer) -> impl Future<Output = VerifyError> + Send + use<> {
        let (tls, peer) = (self.clone(), peer.clone());
        async move {
            let mut changes = tls.subscribe();
            loop {
                // Marked before the look, so that a change during the look is not missed.
                changes.mark_unchanged();
                let mut nap = LOOK;
                if let Some(now) = tls.now() {
                    if let Err(error) = tls.trust().verify(&peer.chain, now) {
                        return error;
                    }
                    // A certificate is valid through its last second.
                    let left = peer.certificate.not_after().since(now) + Duration::from_secs(1);
                    nap = nap.min(left);
                }
                tokio::select! {
                    // The handle above keeps the sender alive.
                    _ = changes.changed() => {}
                    () = sleep(nap) => {}
                }
            }
        }
    }
}
