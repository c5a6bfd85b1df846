//! DER (X.690) as X.509 needs it, in one pass and without a tree: for what is read and written at
//! every handshake and for every entry of a roster or revocation list.

mod read;
mod time;
mod write;

pub(crate) use read::{Malformed, Reader};
pub(crate) use write::Writer;

/// The tags that X.509 uses.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// `[n]`, constructed.
    pub(crate) const fn context(number: u8) -> u8 {
        0xa0 | number
    }

    /// `[n] IMPLICIT` of a primitive type.
    pub(crate) const fn implicit(number: u8) -> u8 {
        0x80 | number
    }
}
