//! One message on disk.
//!
//! ```text
//! offset  bytes
//!      0      4  length of what comes after byte 8
//!      4      4  CRC32C of the length and of what comes after byte 8
//!      8      8  number
//!     16      8  time of the put, milliseconds since 1970
//!     24      2  length of the subject
//!     26      4  length of the headers
//!     30         subject, headers (`Name: value\r\n` each), payload
//! ```
//! All numbers are little-endian.

use crate::{Headers, Subject};

/// What a record takes beside subject, headers and payload, in bytes.
pub(super) const OVERHEAD: usize = 30;
/// The shortest record, in bytes: its subject has a character.
pub(super) const LEAST: usize = OVERHEAD + 1;
/// The largest record, in bytes; more is taken for damage.
pub(super) const MAX: usize = (64 << 20) + super::limits::SLACK;
/// Numbers lie below; nobody comes so far, and sums of them do not overflow.
pub(super) const NUMBERS: u64 = 1 << 62;

/// A record as it lies in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) number: u64,
    /// Milliseconds since 1970, by the clock of the put.
    pub(crate) time: u64,
    pub(crate) subject: &'a str,
    headers: &'a str,
    pub(crate) payload: &'a [u8],
}

/// Why there is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The bytes end before it does.
    Short,
    /// It is not what was written.
    Damaged,
}

/// Returns how many bytes the headers take.
fn headers_length(headers: &Headers) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum()
}

/// Returns how many bytes a record takes.
pub(super) fn size(subject: &Subject, headers: &Headers, payload: &[u8]) -> usize {
    OVERHEAD + subject.as_str().len() + headers_length(headers) + payload.len()
}

/// Appends a record; its [`size`] must not be more than [`MAX`].
pub(super) fn write(
    to: &mut Vec<u8>,
    number: u64,
    time: u64,
    subject: &Subject,
    headers: &Headers,
    payload: &[u8],
) {
    let start = to.len();
    let length = size(subject, headers, payload) - 8;
    debug_assert!(length + 8 <= MAX);
    let subject = subject.as_str().as_bytes();
    to.extend_from_slice(&(length as u32).to_le_bytes());
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&number.to_le_bytes());
    to.extend_from_slice(&time.to_le_bytes());
    to.extend_from_slice(&(subject.len() as u16).to_le_bytes());
    to.extend_from_slice(&(headers_length(headers) as u32).to_le_bytes());
    to.extend_from_slice(subject);
    for (name, value) in headers.iter() {
        for part in [name, ": ", value, "\r\n"] {
            to.extend_from_slice(part.as_bytes());
        }
    }
    to.extend_from_slice(payload);
    let sum = checksum(&to[start..]);
    to[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Returns the number and length that the bytes claim, without a proof.
pub(super) fn claim(bytes: &[u8]) -> Result<(u64, usize), Flaw> {
    if bytes.len() < OVERHEAD {
        return Err(Flaw::Short);
    }
    let length = u32_at(bytes, 0) as usize + 8;
    if !(OVERHEAD..=MAX).contains(&length) {
        return Err(Flaw::Damaged);
    }
    if bytes.len() < length {
        return Err(Flaw::Short);
    }
    Ok((u64_at(bytes, 8), length))
}

impl<'a> Record<'a> {
    /// Reads the record at the beginning of the bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (number, length) = claim(bytes)?;
        let bytes = &bytes[..length];
        if number >= NUMBERS || u32_at(bytes, 4) != checksum(bytes) {
            return Err(Flaw::Damaged);
        }
        let (subject, headers) = (usize::from(u16_at(bytes, 24)), u32_at(bytes, 26) as usize);
        let rest = &bytes[OVERHEAD..];
        if subject.saturating_add(headers) > rest.len() {
            return Err(Flaw::Damaged);
        }
        let (subject, rest) = rest.split_at(subject);
        let (headers, payload) = rest.split_at(headers);
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Flaw::Damaged);
        Ok(Self {
            number,
            time: u64_at(bytes, 16),
            subject: text(subject)?,
            headers: text(headers)?,
            payload,
        })
    }

    /// Returns how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        OVERHEAD + self.subject.len() + self.headers.len() + self.payload.len()
    }

    /// Returns the subject, if it is one.
    pub(crate) fn parse_subject(&self) -> Option<Subject> {
        Subject::parse(self.subject).ok()
    }

    /// Returns the headers, if they are some.
    pub(crate) fn parse_headers(&self) -> Option<Headers> {
        let mut headers = Headers::new();
        let mut rest = self.headers;
        while !rest.is_empty() {
            let (line, next) = rest.split_once("\r\n")?;
            let (name, value) = line.split_once(": ")?;
            if value.trim() != value {
                return None;
            }
            headers.append(name, value).ok()?;
            rest = next;
        }
        Some(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(values: &[String]) -> Headers {
        let mut headers = Headers::new();
        for (at, value) in values.iter().enumerate() {
            headers.append(&format!("H{at}"), value).unwrap();
        }
        headers
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            number in 0..NUMBERS,
            time: u64,
            subject in "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,3}",
            values in prop::collection::vec("[ -~]{0,20}", 0..4),
            payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let subject = Subject::parse(&subject).unwrap();
            let headers = headers(&values);
            let mut bytes = Vec::new();
            write(&mut bytes, number, time, &subject, &headers, &payload);
            prop_assert_eq!(bytes.len(), size(&subject, &headers, &payload));
            let record = Record::read(&bytes).unwrap();
            prop_assert_eq!((record.number, record.time), (number, time));
            prop_assert_eq!(record.parse_subject(), Some(subject));
            prop_assert_eq!(record.parse_headers(), Some(headers));
            prop_assert_eq!(record.payload, &payload[..]);
        }

        #[test]
        fn a_changed_bit_and_a_cut_are_found(
            payload in prop::collection::vec(any::<u8>(), 0..64),
            at: prop::sample::Index,
            bit in 0..8_u32,
        ) {
            let mut bytes = Vec::new();
            write(&mut bytes, 7, 8, &Subject::from_static("a.b"), &Headers::new(), &payload);
            let at = at.index(bytes.len());
            prop_assert_eq!(Record::read(&bytes[..at]), Err(Flaw::Short));
            bytes[at] ^= 1 << bit;
            prop_assert!(Record::read(&bytes).is_err());
        }
    }
}
