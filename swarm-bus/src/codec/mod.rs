//! Payloads to bytes and back.
//!
//! | codec | media type | feature |
//! |---|---|---|
//! | [`Json`], the default | `application/json` | |
//! | [`Raw`] | `application/octet-stream` | |
//! | `MessagePack` | `application/vnd.msgpack` | `msgpack` |
//! | `Cbor` | `application/cbor` | `cbor` |
//!
//! # Which encoding a message is in
//! The header `Content-Type` says it, and where there is none it is JSON: messages of plain NATS
//! programs are, and the usual message stays as small as it was. So MessagePack and CBOR always
//! travel with the header, and a receiver refuses what comes in another encoding than its topic's
//! ([`DecodeError::OtherEncoding`]) instead of guessing: the bytes of one often are valid in another.
//! `Raw`, and codecs that do not name a media type, neither write nor look at the header.
//!
//! # What hostile bytes can do
//! Decoding MessagePack and CBOR is bounded by [`MAX_SIZE`] and [`MAX_DEPTH`], and a length that is
//! only announced allocates nothing. JSON has serde_json's own limit of 128 levels. What follows
//! after the value is an error in each.

#[cfg(feature = "cbor")]
mod cbor;
mod error;
#[cfg(test)]
mod laws;
#[cfg(feature = "msgpack")]
mod msgpack;

#[cfg(feature = "cbor")]
pub use cbor::Cbor;
pub use error::{DecodeError, EncodeError};
#[cfg(feature = "msgpack")]
pub use msgpack::MessagePack;

use crate::Headers;
use crate::envelope::CONTENT_TYPE;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest payload that MessagePack and CBOR are decoded from, in bytes: the most that a NATS
/// server can be told to pass on.
pub const MAX_SIZE: usize = 64 << 20;

/// How deep the values of MessagePack and CBOR may nest; serde_json's limit for JSON is the same.
pub const MAX_DEPTH: usize = 128;

const JSON: &str = "application/json";
const OPAQUE: &str = "application/octet-stream";

/// How payloads of type `P` become bytes.
#[diagnostic::on_unimplemented(
    message = "`{P}` cannot be carried by the codec `{Self}`",
    label = "cannot encode and decode `{P}`",
    note = "`Json`, `MessagePack` and `Cbor` carry types that are `Serialize` and `DeserializeOwned`, \
            `Raw` carries `bytes::Bytes`"
)]
pub trait Codec<P> {
    /// What the bytes are called (RFC 6838). Unless it is that of JSON or `application/octet-stream`
    /// it travels with each message, and a message that bears another is refused.
    const MEDIA_TYPE: &'static str = OPAQUE;

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

    /// Encodes a payload, and writes into the headers of its message how, where that is not JSON.
    ///
    /// # Errors
    /// [`EncodeError`], as [`encode`](Self::encode).
    fn seal(payload: &P, headers: &mut Headers) -> Result<Bytes, EncodeError> {
        if !matches!(Self::MEDIA_TYPE, JSON | OPAQUE) {
            headers
                .set(CONTENT_TYPE, Self::MEDIA_TYPE)
                .map_err(EncodeError::new)?;
        }
        Self::encode(payload)
    }

    /// Decodes the payload of a message, if its headers do not speak of another encoding.
    ///
    /// # Errors
    /// [`DecodeError`].
    fn open(headers: &Headers, payload: &Bytes) -> Result<P, DecodeError> {
        let found = headers.get(CONTENT_TYPE).unwrap_or(JSON);
        if Self::MEDIA_TYPE != OPAQUE && !is_same(Self::MEDIA_TYPE, found) {
            return Err(DecodeError::OtherEncoding {
                expected: Self::MEDIA_TYPE,
                found: found.chars().take(100).collect(),
            });
        }
        Self::decode(payload)
    }
}

/// Compares media types without their parameters; `application/problem+json` is JSON too.
fn is_same(expected: &str, found: &str) -> bool {
    let found = found.split(';').next().unwrap_or_default().trim();
    let suffix = || found.rsplit_once('+').map(|(_, suffix)| suffix);
    found.eq_ignore_ascii_case(expected)
        || (expected == JSON && suffix().is_some_and(|suffix| suffix.eq_ignore_ascii_case("json")))
}

/// JSON: the default.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl<P: Serialize + DeserializeOwned> Codec<P> for Json {
    const MEDIA_TYPE: &'static str = JSON;

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

/// Refuses what is larger than any message.
#[cfg(any(feature = "cbor", feature = "msgpack"))]
fn check_size(bytes: &Bytes) -> Result<(), DecodeError> {
    match bytes.len() > MAX_SIZE {
        true => Err(DecodeError::TooLarge {
            size: bytes.len(),
            max: MAX_SIZE,
        }),
        false => Ok(()),
    }
}

/// Refuses bytes after the value.
#[cfg(any(feature = "cbor", feature = "msgpack"))]
fn check_end(left: usize) -> Result<(), DecodeError> {
    match left {
        0 => Ok(()),
        left => Err(DecodeError::Trailing { left }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A codec that somebody else wrote.
    struct Named;

    impl Codec<u8> for Named {
        const MEDIA_TYPE: &'static str = "application/x-named";

        fn encode(payload: &u8) -> Result<Bytes, EncodeError> {
            Ok(Bytes::copy_from_slice(&[*payload]))
        }

        fn decode(bytes: &Bytes) -> Result<u8, DecodeError> {
            bytes
                .first()
                .copied()
                .ok_or_else(|| DecodeError::new("empty"))
        }
    }

    fn of_type(media_type: &str) -> Headers {
        let mut headers = Headers::new();
        headers.set("content-type", media_type).unwrap();
        headers
    }

    #[test]
    fn deep_json_is_an_error_and_no_overflow() {
        let bytes = Bytes::from("[".repeat(100_000));
        assert!(<Json as Codec<serde_json::Value>>::decode(&bytes).is_err());
    }

    #[test]
    fn raw_bytes_pass_unchanged_whatever_they_are_called() {
        let bytes = Bytes::from_static(&[0, 255, 1]);
        let mut headers = Headers::new();
        let sealed = Raw::seal(&bytes, &mut headers).unwrap();
        assert!(headers.is_empty());
        assert_eq!(Raw::open(&of_type("image/png"), &sealed).unwrap(), bytes);
    }

    #[test]
    fn json_travels_without_a_header_and_anything_else_with_one() {
        let mut headers = Headers::new();
        let bytes = <Json as Codec<u8>>::seal(&7, &mut headers).unwrap();
        assert!(headers.is_empty());
        for json in [
            "application/json; charset=utf-8",
            "Application/Problem+JSON",
        ] {
            assert_eq!(
                <Json as Codec<u8>>::open(&of_type(json), &bytes).unwrap(),
                7
            );
        }
        let bytes = Named::seal(&7, &mut headers).unwrap();
        assert_eq!(headers.get(CONTENT_TYPE), Some("application/x-named"));
        assert_eq!(Named::open(&headers, &bytes).unwrap(), 7);
    }

    #[test]
    fn another_encoding_is_refused_by_name_and_not_guessed_at() {
        let bytes = Bytes::from_static(b"7");
        let refused = Named::open(&Headers::new(), &bytes).unwrap_err();
        assert!(matches!(
            refused,
            DecodeError::OtherEncoding { expected: "application/x-named", found } if found == JSON
        ));
        let refused = <Json as Codec<u8>>::open(&of_type("application/cbor"), &bytes).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the payload is `application/cbor`, expected is `application/json`"
        );
    }
}
