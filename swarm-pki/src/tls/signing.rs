//! This node's own certificate and key, as rustls wants them.

use std::{fmt, sync::Arc};

use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};

use super::Shared;
use crate::{KeyAlgorithm, Signer as KeySigner};

/// A signer of this crate at the service of rustls.
#[derive(Clone)]
pub(super) struct HandshakeKey(pub(super) Arc<dyn KeySigner>);

impl HandshakeKey {
    fn signs_as(&self) -> SignatureScheme {
        match self.0.public_key().algorithm() {
            KeyAlgorithm::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            KeyAlgorithm::Ed25519 => SignatureScheme::ED25519,
        }
    }
}

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandshakeKey")
            .field(self.0.public_key())
            .finish()
    }
}

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&self.signs_as())
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.public_key().algorithm() {
            KeyAlgorithm::P256 => SignatureAlgorithm::ECDSA,
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::ED25519,
        }
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0
            .sign(message)
            .map_err(|error| Error::Other(rustls::OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.signs_as()
    }
}

/// Hands out the certificate of the moment, so that a renewed one serves the next handshake.
#[derive(Debug)]
pub(super) struct OwnCertificate(pub(super) Arc<Shared>);

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.live().own)
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let own = self.0.live().own;
        own.key.choose_scheme(schemes).map(|_| own)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
