//! Payloads to bytes and back.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// How payloads of type `P` become bytes.
pub trait Codec<P> {
    /// Encodes a payload.
    ///
    /// # Errors
    /// [`EncodeError`] when the value has no form in this encoding.
    fn encode(payload: &P) -> Result<Bytes, EncodeError>;

    /// Decodes a payload that came from outside.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no payload.
    fn decode(bytes: &Bytes) -> Result<P, DecodeError>;
}

/// JSON: the default.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl<P: Serialize + DeserializeOwned> Codec<P> for Json {
    fn encode(payload: &P) -> Result<Bytes, EncodeError> {
        serde_json::to_vec(payload)
            .map(Bytes::from)
            .map_err(EncodeError::new)
    }

    fn decode(bytes: &Bytes) -> Result<P, DecodeError> {
        serde_json::from_slice(bytes).map_err(DecodeError::new)
    }
}

/// The bytes as they are.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl Codec<Bytes> for Raw {
    fn encode(payload: &Bytes) -> Result<Bytes, EncodeError> {
        Ok(payload.clone())
    }

    fn decode(bytes: &Bytes) -> Result<Bytes, DecodeError> {
        Ok(bytes.clone())
    }
}

/// A payload has no form in its encoding.
#[derive(Debug, thiserror::Error)]
#[error("the payload cannot be encoded")]
pub struct EncodeError(#[source] Source);

impl EncodeError {
    /// Wraps what a codec ran into.
    pub fn new(source: impl Into<Source>) -> Self {
        Self(source.into())
    }
}

/// Bytes are not the payload that they should be.
#[derive(Debug, thiserror::Error)]
#[error("the payload cannot be decoded")]
pub struct DecodeError(#[source] Source);

impl DecodeError {
    /// Wraps what a codec ran into.
    pub fn new(source: impl Into<Source>) -> Self {
        Self(source.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_json_is_an_error_and_no_overflow() {
        let bytes = Bytes::from("[".repeat(100_000));
        assert!(<Json as Codec<serde_json::Value>>::decode(&bytes).is_err());
    }

    #[test]
    fn raw_bytes_pass_unchanged() {
        let bytes = Bytes::from_static(&[0, 255, 1]);
        assert_eq!(Raw::decode(&Raw::encode(&bytes).unwrap()).unwrap(), bytes);
    }
}
