//! How far a spool has come, on disk: two slots, written in turn, so that a torn write leaves the
//! other.
//!
//! ```text
//! offset  bytes
//!      0      8  "SWARMCUR"
//!      8      2  version: 1
//!     10     12  id of the spool
//!     22      8  generation: the higher slot counts
//!     30      8  done: all numbers below need not be sent any more
//!     38      8  sent: no number from here on was ever sent
//!     46      8  doubt: what waits below may have been stored already
//!     54      4  CRC32C of the bytes before
//! ```

use super::record::{u16_at, u32_at, u64_at};
use super::segment::SpoolId;

pub(super) const FILE: &str = "cursor";
const MAGIC: &[u8; 8] = b"SWARMCUR";
const VERSION: u16 = 1;
const LENGTH: usize = 58;
/// Slots lie in different sectors.
pub(super) const SLOT: u64 = 4096;

/// How far a spool has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) spool: SpoolId,
    pub(crate) generation: u64,
    pub(crate) done: u64,
    pub(crate) sent: u64,
    pub(crate) doubt: u64,
}

/// What a cursor's file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Cursor(Cursor),
    /// A newer program wrote it.
    Version(u16),
    /// Neither slot is whole.
    Nothing,
}

impl Cursor {
    pub(crate) fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..22].copy_from_slice(&self.spool);
        for (at, value) in [
            (22, self.generation),
            (30, self.done),
            (38, self.sent),
            (46, self.doubt),
        ] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let sum = crc32c::crc32c(&bytes[..54]);
        bytes[54..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Returns where in the file it belongs.
    pub(crate) fn offset(&self) -> u64 {
        (self.generation % 2) * SLOT
    }

    /// Reads the newer slot of a file.
    pub(crate) fn read(file: &[u8]) -> Read {
        let slot = |at: u64| {
            let bytes = file.get(at as usize..)?.get(..LENGTH)?;
            let whole = &bytes[..8] == MAGIC && u32_at(bytes, 54) == crc32c::crc32c(&bytes[..54]);
            let whole = whole && u64_at(bytes, 22) < u64::MAX;
            whole.then(|| match u16_at(bytes, 8) {
                VERSION => Read::Cursor(Self {
                    spool: bytes[10..22].try_into().expect("twelve bytes"),
                    generation: u64_at(bytes, 22),
                    done: u64_at(bytes, 30),
                    sent: u64_at(bytes, 38),
                    doubt: u64_at(bytes, 46),
                }),
                version => Read::Version(version),
            })
        };
        match (slot(0), slot(SLOT)) {
            (Some(Read::Cursor(a)), Some(Read::Cursor(b))) => {
                Read::Cursor(if a.generation > b.generation { a } else { b })
            }
            (Some(newer @ Read::Version(_)), _) | (_, Some(newer @ Read::Version(_))) => newer,
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => Read::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let mut file = vec![0; (SLOT * 2) as usize];
        assert_eq!(Cursor::read(&file), Read::Nothing);
        let mut cursor = Cursor {
            spool: [1; 12],
            generation: 1,
            done: 5,
            sent: 9,
            doubt: 7,
        };
        for generation in 1..4 {
            cursor.generation = generation;
            let at = cursor.offset() as usize;
            file[at..at + LENGTH].copy_from_slice(&cursor.encode());
            assert_eq!(Cursor::read(&file), Read::Cursor(cursor));
        }
        file[cursor.offset() as usize + 30] ^= 1;
        cursor.generation = 2;
        assert_eq!(Cursor::read(&file), Read::Cursor(cursor));
        assert_eq!(Cursor::read(&file[..20]), Read::Nothing);
    }
}
