//! A cursor over DER: definite, minimal lengths and nothing else.

use std::ops::Range;

use super::{tag, time};
use crate::Timestamp;

/// The bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads one value after the other. Ranges are relative to the bytes that the first reader of all
/// was made of.
pub(crate) struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
    end: usize,
}

/// One value: its tag, and where it lies with and without its header.
pub(crate) struct Value {
    pub(crate) tag: u8,
    pub(crate) whole: Range<usize>,
    pub(crate) content: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self {
            whole: der,
            at: 0,
            end: der.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// How many octets are left.
    pub(crate) fn len(&self) -> usize {
        self.end - self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        (self.at < self.end).then(|| self.whole[self.at])
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        &self.whole[range]
    }

    /// Reads a value of any tag below 31.
    pub(crate) fn any(&mut self) -> Result<Value, Malformed> {
        let rest = &self.whole[self.at..self.end];
        let (tag, first) = match rest {
            [tag, first, ..] if tag & 0x1f != 0x1f => (*tag, *first),
            _ => return Err(Malformed),
        };
        let (header, length) = if first < 0x80 {
            (2, usize::from(first))
        } else {
            let count = usize::from(first & 0x7f);
            let octets = rest.get(2..2 + count).ok_or(Malformed)?;
            if count == 0 || count > 4 || octets[0] == 0 {
                return Err(Malformed);
            }
            let length = octets
                .iter()
                .fold(0usize, |length, octet| length << 8 | usize::from(*octet));
            if length < 0x80 {
                return Err(Malformed);
            }
            (2 + count, length)
        };
        if length > rest.len() - header {
            return Err(Malformed);
        }
        let start = self.at;
        let content = start + header..start + header + length;
        self.at = content.end;
        Ok(Value {
            tag,
            whole: start..content.end,
            content,
        })
    }

    /// Reads a value of this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Result<Value, Malformed> {
        if self.peek() == Some(tag) {
            self.any()
        } else {
            Err(Malformed)
        }
    }

    /// Reads the content of a value of this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let value = self.value(tag)?;
        Ok(self.bytes(value.content))
    }

    /// Reads the content of a value of this tag, if it is the next one.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() == Some(tag) {
            self.content(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns a reader of what a constructed value of this tag contains.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Reader<'a>, Malformed> {
        let value = self.value(tag)?;
        Ok(self.within(value.content))
    }

    /// Returns a reader of a part.
    pub(crate) fn within(&self, part: Range<usize>) -> Reader<'a> {
        Reader {
            whole: self.whole,
            at: part.start,
            end: part.end,
        }
    }

    /// Checks that nothing follows.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Reads a BOOLEAN.
    pub(crate) fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.content(tag::BOOLEAN)? {
            [0] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Reads the content of an INTEGER in its shortest form; it is signed.
    pub(crate) fn integer(&mut self) -> Result<&'a [u8], Malformed> {
        match self.content(tag::INTEGER)? {
            [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(Malformed),
            content => Ok(content),
        }
    }

    /// Reads an INTEGER from 0 to 2^64 - 1.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Malformed> {
        let content = self.integer()?;
        let octets = content.strip_prefix(&[0]).unwrap_or(content);
        if content[0] & 0x80 != 0 || octets.len() > 8 {
            return Err(Malformed);
        }
        Ok(octets
            .iter()
            .fold(0, |number, octet| number << 8 | u64::from(*octet)))
    }

    /// Reads a BIT STRING of whole octets.
    pub(crate) fn octets(&mut self) -> Result<Range<usize>, Malformed> {
        let value = self.value(tag::BIT_STRING)?;
        match self.bytes(value.content.clone()) {
            [0, ..] => Ok(value.content.start + 1..value.content.end),
            _ => Err(Malformed),
        }
    }

    /// Reads a UTCTime or GeneralizedTime of RFC 5280 §4.1.2.5.
    pub(crate) fn time(&mut self) -> Result<Timestamp, Malformed> {
        let value = self.any()?;
        let digits = self.bytes(value.content);
        match value.tag {
            tag::UTC_TIME => time::read_utc(digits),
            tag::GENERALIZED_TIME => time::read_generalized(digits),
            _ => None,
        }
        .ok_or(Malformed)
    }

    /// Passes over a Name: SEQUENCE OF SET OF SEQUENCE { OID, any }.
    pub(crate) fn name(&mut self) -> Result<Range<usize>, Malformed> {
        let value = self.value(tag::SEQUENCE)?;
        let mut sets = self.within(value.content);
        while !sets.is_empty() {
            let mut attributes = sets.nested(tag::SET)?;
            if attributes.is_empty() {
                return Err(Malformed);
            }
            while !attributes.is_empty() {
                let mut attribute = attributes.nested(tag::SEQUENCE)?;
                attribute.content(tag::OBJECT_IDENTIFIER)?;
                attribute.any()?;
                attribute.finish()?;
            }
        }
        Ok(value.whole)
    }

    /// Passes over an AlgorithmIdentifier.
    pub(crate) fn algorithm(&mut self) -> Result<Range<usize>, Malformed> {
        let value = self.value(tag::SEQUENCE)?;
        let mut fields = self.within(value.content);
        fields.content(tag::OBJECT_IDENTIFIER)?;
        if !fields.is_empty() {
            fields.any()?;
        }
        fields.finish()?;
        Ok(value.whole)
    }

    /// Reads an Extension: object identifier, whether it is critical, and content.
    pub(crate) fn extension(&mut self) -> Result<(&'a [u8], bool, &'a [u8]), Malformed> {
        let mut fields = self.nested(tag::SEQUENCE)?;
        let oid = fields.content(tag::OBJECT_IDENTIFIER)?;
        let critical = fields.peek() == Some(tag::BOOLEAN) && fields.boolean()?;
        let content = fields.content(tag::OCTET_STRING)?;
        fields.finish()?;
        Ok((oid, critical, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_definite_length_is_read() {
        let read = |der: &[u8]| Reader::new(der).any().map(|value| value.content);
        assert_eq!(read(&[4, 1, 7]), Ok(2..3));
        for bad in [
            &[4][..],
            &[4, 2, 7],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 1, 7],
            &[4, 0x82, 0, 1, 7],
            &[4, 0x85, 0, 0, 0, 0, 1],
            &[4, 0xff],
            &[0x1f, 1, 7],
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad:?}");
        }
        let mut long = vec![4, 0x81, 0x80];
        long.extend([0; 0x80]);
        assert_eq!(read(&long), Ok(3..3 + 0x80));
    }

    #[test]
    fn integers_are_read_in_their_shortest_form_alone() {
        let read = |der: &[u8]| Reader::new(der).unsigned();
        assert_eq!(read(&[2, 1, 0]), Ok(0));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(128));
        assert_eq!(
            read(&[2, 9, 0, 255, 255, 255, 255, 255, 255, 255, 255]),
            Ok(u64::MAX)
        );
        for bad in [
            &[2, 0][..],
            &[2, 1, 0x80],
            &[2, 2, 0, 1],
            &[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad:?}");
        }
    }
}
