//! CBOR.

use super::{Codec, DecodeError, EncodeError, MAX_DEPTH, check_end, check_size};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// CBOR, [RFC 8949](https://www.rfc-editor.org/rfc/rfc8949): an internet standard for what JSON
/// says in fewer bytes, and byte strings.
///
/// Structs are maps by field name. Types that have a compact form (addresses, UUIDs) are written in
/// it, which serde cannot read back where they stand inside an internally tagged or untagged enum or
/// a flattened field: choose [`Json`](super::Json) or MessagePack for such payloads.
#[derive(Debug, Clone, Copy)]
pub struct Cbor;

impl<P: Serialize + DeserializeOwned> Codec<P> for Cbor {
    const MEDIA_TYPE: &'static str = "application/cbor";

    fn encode(payload: &P) -> Result<Bytes, EncodeError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(payload, &mut bytes)
            .map_err(|error| EncodeError::new(error.to_string()))?;
        Ok(bytes.into())
    }

    fn decode(bytes: &Bytes) -> Result<P, DecodeError> {
        check_size(bytes)?;
        let mut left = &bytes[..];
        let value = ciborium::de::from_reader_with_recursion_limit(&mut left, MAX_DEPTH)
            .map_err(|error| DecodeError::new(error.to_string()))?;
        check_end(left.len())?;
        Ok(value)
    }
}
