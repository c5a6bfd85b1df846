//! A verified peer, and the watch over its certificate for as long as a connection lives.

use std::{ops::Deref, time::Duration};

use rustls_pki_types::CertificateDer;
use tokio::time::sleep;

use super::MeshTls;
use crate::{
    Certificate, NodeCertificate, NodeId, ServiceCertificate, ServiceName, Timestamp, Trust,
    VerifyError,
};

/// The longest sleep between two looks at the clock: a machine's clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);

/// A certificate that a peer can have: a node's, or a service's.
pub trait PeerCertificate: sealed::PeerCertificate {}

impl<C: sealed::PeerCertificate> PeerCertificate for C {}

mod sealed {
    use super::*;

    pub trait PeerCertificate: Clone + Send + Sync + Deref<Target = Certificate> + 'static {
        fn verify(
            trust: &Trust,
            chain: &[CertificateDer<'_>],
            now: Timestamp,
        ) -> Result<(), VerifyError>;
    }

    impl PeerCertificate for NodeCertificate {
        fn verify(
            trust: &Trust,
            chain: &[CertificateDer<'_>],
            now: Timestamp,
        ) -> Result<(), VerifyError> {
            trust.verify(chain, now).map(drop)
        }
    }

    impl PeerCertificate for ServiceCertificate {
        fn verify(
            trust: &Trust,
            chain: &[CertificateDer<'_>],
            now: Timestamp,
        ) -> Result<(), VerifyError> {
            trust.verify_service(chain, now).map(drop)
        }
    }
}

/// A peer whose certificate was verified in the handshake: a node, or a service.
#[derive(Debug, Clone)]
pub struct Peer<C = NodeCertificate> {
    certificate: C,
    /// What the peer presented, its own certificate first.
    chain: Vec<CertificateDer<'static>>,
}

impl<C: PeerCertificate> Peer<C> {
    /// Makes a peer of a verified chain, whose first certificate is this one.
    pub(super) fn new(certificate: C, chain: &[CertificateDer<'_>]) -> Self {
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Self { certificate, chain }
    }

    /// Returns the peer's certificate.
    pub fn certificate(&self) -> &C {
        &self.certificate
    }
}

impl Peer {
    /// Returns the peer's name.
    pub fn id(&self) -> &NodeId {
        self.certificate.id()
    }
}

impl Peer<ServiceCertificate> {
    /// Returns the service's name.
    pub fn name(&self) -> &ServiceName {
        self.certificate.name()
    }
}

impl MeshTls {
    /// Completes as soon as the peer's certificate is no longer trusted, and says why: it was
    /// revoked, it has expired, its authority was retired.
    ///
    /// Whoever serves a connection runs this beside it and drops the connection when it completes.
    /// It looks again at every change of trust, when the certificate ends, and every 30 s.
    pub fn guard<C: PeerCertificate>(
        &self,
        peer: &Peer<C>,
    ) -> impl Future<Output = VerifyError> + Send + use<C> {
        let (tls, peer) = (self.clone(), peer.clone());
        async move {
            let mut changes = tls.subscribe();
            loop {
                // Marked before the look, so that a change during the look is not missed.
                changes.mark_unchanged();
                let mut nap = LOOK;
                if let Some(now) = tls.now() {
                    if let Err(error) = C::verify(&tls.trust(), &peer.chain, now) {
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
