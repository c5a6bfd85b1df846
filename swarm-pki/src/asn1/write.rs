//! A writer of DER into one buffer.

use super::{tag, time};
use crate::Timestamp;

/// Appends one value after the other.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(octets: usize) -> Self {
        Self(Vec::with_capacity(octets))
    }

    pub(crate) fn into_der(self) -> Vec<u8> {
        self.0
    }

    /// Appends what is DER already.
    pub(crate) fn raw(&mut self, der: &[u8]) {
        self.0.extend_from_slice(der);
    }

    /// Appends a primitive value.
    pub(crate) fn primitive(&mut self, tag: u8, content: &[u8]) {
        self.nested(tag, |writer| writer.raw(content));
    }

    /// Appends a value of whatever `fill` appends. The length is put in front afterwards: most
    /// values are so short that it needs the one octet that was left for it.
    pub(crate) fn nested(&mut self, tag: u8, fill: impl FnOnce(&mut Self)) {
        self.0.extend_from_slice(&[tag, 0]);
        let start = self.0.len();
        fill(self);
        let length = self.0.len() - start;
        if length < 0x80 {
            self.0[start - 1] = length as u8;
            return;
        }
        let octets = length.to_be_bytes();
        let octets = &octets[(length.leading_zeros() / 8) as usize..];
        self.0[start - 1] = 0x80 | octets.len() as u8;
        self.0.resize(start + length + octets.len(), 0);
        self.0
            .copy_within(start..start + length, start + octets.len());
        self.0[start..start + octets.len()].copy_from_slice(octets);
    }

    pub(crate) fn sequence(&mut self, fill: impl FnOnce(&mut Self)) {
        self.nested(tag::SEQUENCE, fill);
    }

    /// Appends an INTEGER that is not negative; big-endian octets.
    pub(crate) fn integer(&mut self, octets: &[u8]) {
        let significant = octets.iter().position(|octet| *octet != 0);
        let octets = significant.map_or(&[0][..], |start| &octets[start..]);
        self.nested(tag::INTEGER, |writer| {
            if octets[0] & 0x80 != 0 {
                writer.raw(&[0]);
            }
            writer.raw(octets);
        });
    }

    /// Appends a BIT STRING of whole octets.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.nested(tag::BIT_STRING, |writer| {
            writer.raw(&[0]);
            writer.raw(octets);
        });
    }

    /// Appends UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
    pub(crate) fn time(&mut self, at: Timestamp) {
        let (is_utc, digits, length) = time::write(at);
        let tag = if is_utc {
            tag::UTC_TIME
        } else {
            tag::GENERALIZED_TIME
        };
        self.primitive(tag, &digits[..length]);
    }

    /// Appends an Extension of whatever `fill` appends.
    pub(crate) fn extension(&mut self, oid: &[u8], critical: bool, fill: impl FnOnce(&mut Self)) {
        self.sequence(|writer| {
            writer.primitive(tag::OBJECT_IDENTIFIER, oid);
            if critical {
                writer.primitive(tag::BOOLEAN, &[0xff]);
            }
            writer.nested(tag::OCTET_STRING, fill);
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Reader;
    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            number in any::<u64>(),
            length in prop_oneof![0..300usize, 65_500..65_600usize],
            seconds in 0..=Timestamp::MAX.as_unix(),
        ) {
            let content = vec![7; length];
            let time = Timestamp::from_unix(seconds);
            let mut writer = Writer::with_capacity(16);
            writer.sequence(|fields| {
                fields.integer(&number.to_be_bytes());
                fields.octets(&content);
                fields.time(time);
                fields.extension(&[0x55, 0x1d, 0x13], true, |value| value.raw(&content));
            });
            let der = writer.into_der();
            let mut reader = Reader::new(&der);
            let mut fields = reader.nested(tag::SEQUENCE).unwrap();
            reader.finish().unwrap();
            prop_assert_eq!(fields.unsigned(), Ok(number));
            let octets = fields.octets().unwrap();
            prop_assert_eq!(fields.bytes(octets), &content[..]);
            prop_assert_eq!(fields.time(), Ok(time));
            let (oid, critical, value) = fields.extension().unwrap();
            prop_assert_eq!((oid, critical, value), (&[0x55, 0x1d, 0x13][..], true, &content[..]));
            fields.finish().unwrap();
        }
    }
}
