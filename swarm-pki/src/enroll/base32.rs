//! RFC 4648 base32 in lower case, forgiving to people who copy by hand.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Encodes without padding.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    let (mut bits, mut count) = (0u32, 0);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(symbol(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(symbol(bits << (5 - count)));
    }
    text
}

fn symbol(bits: u32) -> char {
    char::from(ALPHABET[(bits & 31) as usize])
}

/// Decodes either case, taking `0` for `o`, `1` for `l`, `8` for `b`. White space and hyphens do
/// not count. Returns the first foreign character otherwise.
///
/// The bits that fill the last symbol must be zero, so that one value has one spelling; if they
/// are not, a symbol is missing or wrong, and the caller's checksum would say so too.
pub(super) fn decode(text: &str) -> Result<Option<Zeroizing<Vec<u8>>>, char> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8 + 1));
    let (mut bits, mut count) = (0u32, 0);
    for symbol in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let value = match symbol.to_ascii_lowercase() {
            '0' => 'o',
            '1' => 'l',
            '8' => 'b',
            other => other,
        };
        let value = ALPHABET
            .iter()
            .position(|known| char::from(*known) == value)
            .ok_or(symbol)?;
        bits = bits << 5 | value as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Ok((count < 5 && bits == 0).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(plain.as_bytes()).as_str(), encoded);
            assert_eq!(
                decode(encoded).unwrap().unwrap().as_slice(),
                plain.as_bytes()
            );
        }
    }

    #[test]
    fn what_people_do_to_a_text_does_not_matter() {
        assert_eq!(
            decode("MZXW-6YT\n BOI").unwrap().unwrap().as_slice(),
            b"foobar"
        );
        assert_eq!(decode("mzxw6!"), Err('!'));
        assert_eq!(decode("mz").unwrap(), None, "left-over bits");
        assert_eq!(decode("m").unwrap(), None, "half a byte");
    }
}
