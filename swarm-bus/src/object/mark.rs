//! What a chunk says of the upload up to its end.

use super::Digest;
use std::fmt;
use std::str::FromStr;

/// The header of a chunk that bears a [`Mark`]; other clients pass it over.
#[cfg(feature = "client")]
pub(super) const MARK: &str = "Swarm-Upload";

/// What was uploaded up to the end of a chunk, that one included: `<chunks> <bytes> <digest>`. By
/// that of the last chunk an upload is resumed, and what is uploaded is known to be what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.chunks, self.bytes, self.digest)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut fields = text.split(' ');
        let mut next = || fields.next().ok_or(());
        let mark = Self {
            chunks: next()?.parse().map_err(drop)?,
            bytes: next()?.parse().map_err(drop)?,
            digest: parse_hex(next()?).ok_or(())?,
        };
        match fields.next() {
            None if mark.chunks > 0 && mark.bytes >= mark.chunks => Ok(mark),
            _ => Err(()),
        }
    }
}

fn parse_hex(text: &str) -> Option<Digest> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Digest(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        let mark = Mark {
            chunks: 3,
            bytes: 300,
            digest: Digest([0xa5; 32]),
        };
        let text = mark.to_string();
        assert_eq!(text.parse(), Ok(mark));
        let digest = "a5".repeat(32);
        for bad in [
            String::new(),
            "3 300".into(),
            format!("3 300 {digest} x"),
            format!("0 0 {digest}"),
            format!("3 2 {digest}"),
            format!("-1 300 {digest}"),
            format!("3 300 {digest}a5"),
            format!("3 300 {}", "+5".repeat(32)),
            format!("3 300 {}", "ä".repeat(32)),
        ] {
            assert_eq!(bad.parse::<Mark>(), Err(()), "{bad}");
        }
    }
}
