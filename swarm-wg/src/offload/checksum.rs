//! The checksum of the internet (RFC 1071): the complement of the ones-complement sum of
//! 16-bit words.
//!
//! Sums are kept unfolded, of words in the machine's byte order: the sum of byte-swapped
//! words is the byte-swapped sum (RFC 1071, section 2), so no word is ever swapped. A number
//! of a header goes into a sum as it lies in memory (`value.to_be()`), and [`fold`] gives a
//! word to store as it lies in memory (`to_ne_bytes`). A word of 32 or 64 bits stands for its
//! halves, since 2^16 is 1 in this arithmetic.

const WORD: usize = size_of::<u64>();

/// The sum of the 32-bit halves of words. The upper halves are summed by themselves; the lower
/// ones are what remains of the sum of all once those are taken away, which may therefore
/// overflow. That is three vector instructions for 16 bytes where adding both halves is four.
#[derive(Clone, Copy, Default)]
struct Halves {
    all: u64,
    upper: u64,
}

impl Halves {
    #[inline(always)]
    fn add(&mut self, word: [u8; WORD]) {
        let word = u64::from_ne_bytes(word);
        self.all = self.all.wrapping_add(word);
        self.upper = self.upper.wrapping_add(word >> 32);
    }

    #[inline(always)]
    fn total(self) -> u64 {
        self.all
            .wrapping_sub(self.upper << 32)
            .wrapping_add(self.upper)
    }
}

/// The sum of bytes, added to `initial`. A last odd byte counts as if a zero followed. To sum
/// what lies in pieces, all pieces but the last must be of even length.
#[inline]
pub(crate) fn sum(bytes: &[u8], initial: u64) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let mut halves = Halves::default();
    for word in words {
        halves.add(*word);
    }
    add(add(initial, halves.total()), last_word(rest))
}

/// Copies `from` to `to` and sums it. Of two lengths, the shorter counts.
///
/// Of this loop the compiler makes a `memcpy` and a loop of vector instructions over bytes
/// that are in the innermost cache by then. Loops in blocks of 64 to 512 bytes, which load
/// each byte once, measured the same or up to a third slower.
#[inline]
pub(crate) fn copy_and_sum(from: &[u8], to: &mut [u8]) -> u64 {
    let length = from.len().min(to.len());
    let (words, rest) = from[..length].as_chunks();
    let (to_words, to_rest) = to[..length].as_chunks_mut();
    let mut halves = Halves::default();
    for (word, to_word) in words.iter().zip(to_words) {
        *to_word = *word;
        halves.add(*word);
    }
    for (byte, to_byte) in rest.iter().zip(to_rest) {
        *to_byte = *byte;
    }
    add(halves.total(), last_word(rest))
}

/// Fewer bytes than a word.
#[inline(always)]
fn last_word(bytes: &[u8]) -> u64 {
    let (half, bytes) = match bytes.split_first_chunk() {
        Some((half, bytes)) => (u32::from_ne_bytes(*half), bytes),
        None => (0, bytes),
    };
    let last = match *bytes {
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c] => [a, b, c, 0],
        _ => [0; 4],
    };
    u64::from(half) + u64::from(u32::from_ne_bytes(last))
}

#[inline(always)]
fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u64::from(carry))
}

/// Folds a sum to 16 bits, in the machine's byte order.
#[inline]
pub(crate) fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// A checksum to store where none may be zero: a UDP checksum of zero says that there is none
/// (RFC 768). The other zero of ones-complement arithmetic takes its place.
#[inline]
pub(crate) fn non_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The sum of a pseudo-header: the source and destination addresses, which lie side by side
/// in the header of IPv4 (RFC 9293, section 3.1) and of IPv6 (RFC 8200, section 8.1), the
/// protocol, and the length of the transport with its header, in bytes.
#[inline]
pub(crate) fn pseudo_header(addresses: &[u8], protocol: u8, length: usize) -> u64 {
    let protocol = u64::from(u16::from(protocol).to_be());
    let length = u64::from((length as u32).to_be());
    sum(addresses, protocol + length)
}

#[cfg(test)]
mod tests {
    use super::super::packets::folded;
    use super::*;
    use proptest::prelude::*;

    /// As a big-endian number, as RFC 1071 has it.
    fn number(sum: u64) -> u16 {
        u16::from_be(fold(sum))
    }

    #[test]
    fn the_example_of_the_rfc_sums_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(number(sum(&bytes, 0)), 0xddf2);
    }

    #[test]
    fn a_sum_folds_until_it_fits() {
        for (sum, folded) in [
            (0, 0),
            (0xffff, 0xffff),
            (0x1_0000, 1),
            (0x1_ffff, 1),
            (0xffff_ffff, 0xffff),
            (0x0001_ffff_ffff, 1),
            (u64::MAX, 0xffff),
        ] {
            assert_eq!(fold(sum), folded, "{sum:#x}");
        }
    }

    #[test]
    fn a_full_sum_carries_around() {
        let ones = [0xff; 1400];
        assert_eq!(fold(sum(&ones, u64::MAX)), 0xffff);
        assert_eq!(number(sum(&[0, 1], u64::MAX)), 1);
    }

    #[test]
    fn both_versions_have_one_pseudo_header() {
        let addresses: Vec<u8> = (1..=32).collect();
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 17, 0x12, 0x34];
        assert_eq!(
            number(pseudo_header(&addresses[..8], 17, 0x1234)),
            folded(&v4)
        );
        let v6 = [&addresses[..], &[0, 1, 0x12, 0x34, 0, 0, 0, 6]].concat();
        assert_eq!(number(pseudo_header(&addresses, 6, 0x1_1234)), folded(&v6));
    }

    proptest! {
        #[test]
        fn sums_are_what_the_naive_sum_is(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(number(sum(&bytes, 0)), folded(&bytes));
        }

        #[test]
        fn copies_are_equal_and_summed(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut copy = vec![0; bytes.len()];
            prop_assert_eq!(number(copy_and_sum(&bytes, &mut copy)), folded(&bytes));
            prop_assert_eq!(copy, bytes);
        }

        #[test]
        fn pieces_of_even_length_sum_up_to_the_whole(bytes: Vec<u8>, at: proptest::sample::Index) {
            let at = at.index(bytes.len() + 1) & !1;
            let pieces = sum(&bytes[at..], sum(&bytes[..at], 0));
            prop_assert_eq!(fold(pieces), fold(sum(&bytes, 0)));
        }

        #[test]
        fn a_copy_of_another_length_is_cut(from: Vec<u8>, mut to: Vec<u8>) {
            let length = from.len().min(to.len());
            let sum = copy_and_sum(&from, &mut to);
            prop_assert_eq!(number(sum), folded(&from[..length]));
            prop_assert_eq!(&to[..length], &from[..length]);
        }
    }
}
