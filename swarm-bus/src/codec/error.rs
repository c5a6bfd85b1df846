//! What can go wrong between payloads and bytes.

type Source = Box<dyn std::error::Error + Send + Sync>;

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
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not in the encoding, or are no value of the payload's type.
    #[error("the payload cannot be decoded")]
    Malformed(#[source] Source),
    /// The message says that it is in another encoding than the topic's. Where it says nothing it
    /// is JSON.
    #[error("the payload is `{found}`, expected is `{expected}`")]
    OtherEncoding {
        /// The media type of the topic's codec.
        expected: &'static str,
        /// What the message says, at most 100 characters of it.
        found: String,
    },
    /// There are more bytes than any message has.
    #[error("the payload of {size} bytes is larger than {max}")]
    TooLarge {
        /// How many bytes there are.
        size: usize,
        /// How many there may be.
        max: usize,
    },
    /// The value ends before the bytes do.
    #[error("{left} bytes follow after the payload")]
    Trailing {
        /// How many.
        left: usize,
    },
}

impl DecodeError {
    /// Wraps what a codec ran into.
    pub fn new(source: impl Into<Source>) -> Self {
        Self::Malformed(source.into())
    }
}
