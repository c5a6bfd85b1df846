//! What travels with a payload: headers, the message id, the schema version.

#[cfg(feature = "client")]
use crate::codec::{Codec, EncodeError};
#[cfg(feature = "client")]
use bytes::Bytes;
use smol_str::SmolStr;
use std::fmt;

/// The header that identifies a message; the one that JetStream deduplicates by.
pub const ID: &str = "Nats-Msg-Id";
/// The header that carries [`Topic::SCHEMA`](crate::Topic::SCHEMA).
pub const SCHEMA: &str = "Swarm-Schema";
/// The header that names the encoding of the payload; without it, it is JSON. See [`codec`](crate::codec).
pub const CONTENT_TYPE: &str = "Content-Type";
/// The header of an answer that is an error: its number, as NATS services write it.
pub const FAULT_CODE: &str = "Nats-Service-Error-Code";
/// The header of an answer that is an error: its text, as NATS services write it.
pub const FAULT: &str = "Nats-Service-Error";

/// The headers of a message: names without regard to case, any number of values each, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(SmolStr, SmolStr)>);

/// A header that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Names are printable ASCII without a colon, and not empty.
    #[error("`{0}` is no header name")]
    Name(String),
    /// Values hold no line break and no other control character.
    #[error("the value of header `{0}` holds a control character")]
    Value(String),
}

impl Headers {
    /// Makes an empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value to a name.
    ///
    /// # Errors
    /// [`HeaderError`] when name or value would break the line they stand in.
    pub fn append(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(HeaderError::Name(name.to_owned()));
        }
        if value
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Err(HeaderError::Value(name.to_owned()));
        }
        self.0.push((name.into(), value.trim().into()));
        Ok(())
    }

    /// Replaces all values of a name by one.
    ///
    /// # Errors
    /// [`HeaderError`] as [`append`](Self::append).
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let kept = self.0.len();
        self.append(name, value)?;
        let mut index = 0;
        self.0.retain(|(present, _)| {
            index += 1;
            index > kept || !present.eq_ignore_ascii_case(name)
        });
        Ok(())
    }

    /// Drops all values of a name.
    #[cfg(feature = "client")]
    pub(crate) fn remove(&mut self, name: &str) {
        self.0
            .retain(|(present, _)| !present.eq_ignore_ascii_case(name));
    }

    /// Returns the first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(present, _)| present.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns all values of a name in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(present, _)| present.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns all names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the id of the message.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.get(ID)
    }

    /// Returns the schema version of the payload, where the publisher gave one. What cannot be read
    /// as a version counts as the newest: it is of no format that is known here.
    #[must_use]
    pub fn schema(&self) -> Option<u16> {
        self.get(SCHEMA)
            .map(|text| text.parse().unwrap_or(u16::MAX))
    }
}

/// What tells one message from every other: the value of the `Nats-Msg-Id` header.
///
/// A stream keeps one message of an id within its duplicate window, so that publishing again after
/// a timeout is safe as long as the id stays.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(SmolStr);

impl MessageId {
    /// The longest id in bytes: two of the longest tokens and two numbers find room.
    pub const MAX_LENGTH: usize = 320;

    /// Parses an id: 1 to 320 printable ASCII characters without a space.
    ///
    /// # Errors
    /// [`HeaderError::Value`] otherwise.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        if text.is_empty()
            || text.len() > Self::MAX_LENGTH
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(HeaderError::Value(ID.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Wraps text of which the caller knows that it is an id.
    #[cfg(feature = "client")]
    pub(crate) fn from_checked(text: &str) -> Self {
        debug_assert!(Self::parse(text).is_ok());
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({})", self.0)
    }
}

/// Writes what a message says: the payload, and the headers that tell how to read it.
#[cfg(feature = "client")]
pub(crate) fn sealed<C, P, E>(schema: u16, payload: &P) -> Result<(Headers, Bytes), E>
where
    C: Codec<P>,
    E: From<EncodeError> + From<HeaderError>,
{
    let mut headers = Headers::new();
    if schema != 1 {
        headers.set(SCHEMA, &schema.to_string())?;
    }
    let payload = C::seal(payload, &mut headers)?;
    Ok((headers, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_break_its_line() {
        let mut headers = Headers::new();
        assert!(headers.append("A", "1\r\nB: 2").is_err());
        assert!(headers.append("A: x\r\nB", "1").is_err());
        assert!(headers.append("", "1").is_err());
        assert!(headers.append("A b", "1").is_err());
        assert!(headers.is_empty());
    }

    #[test]
    fn a_version_that_cannot_be_read_is_newer_than_all() {
        for (text, version) in [("3", 3), ("70000", u16::MAX), ("two", u16::MAX)] {
            let mut headers = Headers::new();
            headers.set(SCHEMA, text).unwrap();
            assert_eq!(headers.schema(), Some(version), "{text}");
        }
        assert_eq!(Headers::new().schema(), None);
    }

    #[test]
    fn names_are_found_without_regard_to_case_and_keep_all_values() {
        let mut headers = Headers::new();
        headers.append("Trace", "1").unwrap();
        headers.append("trace", "2").unwrap();
        assert_eq!(headers.all("TRACE").collect::<Vec<_>>(), ["1", "2"]);
        headers.set("Trace", "3").unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("Trace", "3")]);
    }
}
