//! MessagePack.

use super::{Codec, DecodeError, EncodeError, MAX_DEPTH, check_end, check_size};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// [MessagePack](https://msgpack.org): what JSON says in fewer bytes, and byte strings.
///
/// Structs are maps by field name, so that fields may come and go as with JSON, and types that have
/// a form for people (addresses, UUIDs) are written in that form: a JSON Schema of the type
/// describes this encoding too.
#[derive(Debug, Clone, Copy)]
pub struct MessagePack;

impl<P: Serialize + DeserializeOwned> Codec<P> for MessagePack {
    const MEDIA_TYPE: &'static str = "application/vnd.msgpack";

    fn encode(payload: &P) -> Result<Bytes, EncodeError> {
        let mut bytes = Vec::new();
        let mut to = rmp_serde::Serializer::new(&mut bytes)
            .with_struct_map()
            .with_human_readable();
        payload.serialize(&mut to).map_err(EncodeError::new)?;
        Ok(bytes.into())
    }

    fn decode(bytes: &Bytes) -> Result<P, DecodeError> {
        check_size(bytes)?;
        let mut from = rmp_serde::Deserializer::new(&bytes[..]).with_human_readable();
        from.set_max_depth(MAX_DEPTH);
        let value = P::deserialize(&mut from).map_err(DecodeError::new)?;
        check_end(from.get_ref().len())?;
        Ok(value)
    }
}
