//! The seam for signers that do not show their key.

use std::sync::Arc;

use super::PublicKey;

/// A signer could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the signer failed")]
pub struct SignError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SignError {
    /// Wraps what the signer said.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Something that signs with a key it need not show: a key in memory, a token, a remote service.
pub trait Signer: Send + Sync {
    /// Returns the public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not its digest); ECDSA signatures in their DER form.
    ///
    /// # Errors
    /// [`SignError`] with the signer's own reason.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl<T: Signer + ?Sized> Signer for Arc<T> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        (**self).sign(message)
    }
}
