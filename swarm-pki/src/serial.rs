//! Certificate serial numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The serial number of a certificate: a positive integer of at most 20 octets
/// ([RFC 5280 §4.1.2.2](https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.2)).
///
/// Prints and parses as lower-case hexadecimal without leading zero octets, as
/// `openssl x509 -serial` does in upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SerialNumber {
    /// Big-endian, right-aligned.
    octets: [u8; 20],
}

/// Not a positive integer of at most 20 octets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a positive serial number of at most 20 octets")]
pub struct SerialError;

impl SerialNumber {
    /// Makes a serial number of 16 octets from fresh randomness, of which 126 bits are kept: two
    /// are fixed so that it is positive and of one length.
    ///
    /// Serial numbers are never counted up, so nobody learns how many certificates there are and
    /// a restored backup repeats none.
    pub fn from_random(mut random: [u8; 16]) -> Self {
        random[0] = random[0] & 0x7f | 0x40;
        let mut octets = [0; 20];
        octets[4..].copy_from_slice(&random);
        Self { octets }
    }

    /// Reads big-endian octets; leading zeros are allowed.
    ///
    /// # Errors
    /// [`SerialError`] when zero, or longer than 20 octets without its leading zeros, or when
    /// the 20 octets would need a 21st for the sign.
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let start = bytes.iter().position(|b| *b != 0).ok_or(SerialError)?;
        let significant = &bytes[start..];
        if significant.len() > 20 || (significant.len() == 20 && significant[0] & 0x80 != 0) {
            return Err(SerialError);
        }
        let mut octets = [0; 20];
        octets[20 - significant.len()..].copy_from_slice(significant);
        Ok(Self { octets })
    }

    /// Returns the big-endian octets without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        let start = self.octets.iter().position(|b| *b != 0).unwrap_or(19);
        &self.octets[start..]
    }

    /// Reads the content octets of a DER INTEGER, which are signed.
    pub(crate) fn from_der_integer(content: &[u8]) -> Result<Self, SerialError> {
        match content.first() {
            Some(first) if first & 0x80 == 0 => Self::from_be_bytes(content),
            _ => Err(SerialError),
        }
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

impl FromStr for SerialNumber {
    type Err = SerialError;
    fn from_str(text: &str) -> Result<Self, SerialError> {
        let bytes = hex::decode(text).map_err(|_| SerialError)?;
        Self::from_be_bytes(&bytes)
    }
}

impl TryFrom<String> for SerialNumber {
    type Error = SerialError;
    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse()
    }
}

impl From<SerialNumber> for String {
    fn from(serial: SerialNumber) -> Self {
        serial.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_serial_is_positive_and_of_one_length() {
        for fill in [0x00, 0x7f, 0x80, 0xff] {
            let serial = SerialNumber::from_random([fill; 16]);
            assert_eq!(serial.as_bytes().len(), 16);
            assert!(serial.as_bytes()[0] < 0x80);
            assert_eq!(serial.to_string().parse(), Ok(serial));
        }
    }

    #[test]
    fn zero_negative_and_overlong_serials_are_refused() {
        assert!(SerialNumber::from_be_bytes(&[0, 0]).is_err());
        assert!(SerialNumber::from_der_integer(&[0x80]).is_err());
        assert!(SerialNumber::from_der_integer(&[]).is_err());
        assert!(SerialNumber::from_be_bytes(&[1; 21]).is_err());
        assert!(SerialNumber::from_be_bytes(&[0x80; 20]).is_err());
        assert!(SerialNumber::from_be_bytes(&[0x7f; 20]).is_ok());
    }
}
