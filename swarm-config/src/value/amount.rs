//! Amounts with a unit: spans of time and sizes in bytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ValueError;

/// A span of time, written as numbers with units: `30d`, `25s`, `1h30m`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// A size in bytes, written as a number with a unit: `64MiB`, `10GiB`, `500kB`, `1B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Milliseconds in each unit of time, the longest first.
const SPAN_UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Bytes in each unit of size, in the order in which a size chooses its unit for writing.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl Span {
    /// Makes a span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Makes a span of whole days.
    #[must_use]
    pub const fn from_days(days: u32) -> Self {
        Self(Duration::from_secs(days as u64 * 86_400))
    }

    /// The span as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Parses a span.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is one or more whole numbers, each with one of the units
    /// `w`, `d`, `h`, `m`, `s`, `ms`, the larger unit first, and 2^32 seconds at most in all.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FORM: ValueError = ValueError::Form {
            what: "a span of time",
            expected: "a text like \"30d\" or \"25s\"",
        };
        let mut rest = text;
        let mut total: u64 = 0;
        let mut finest = u64::MAX;
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or(FORM)?;
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(letters);
            let &(_, factor) = SPAN_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or(FORM)?;
            if factor >= finest {
                return Err(FORM);
            }
            finest = factor;
            total = number
                .checked_mul(factor)
                .and_then(|part| total.checked_add(part))
                .ok_or(FORM)?;
            rest = after;
        }
        if finest == u64::MAX {
            return Err(FORM);
        }
        if total > u64::from(u32::MAX) * 1000 {
            return Err(ValueError::Range {
                what: "a span of time",
                least: "0s".to_owned(),
                most: "49710d".to_owned(),
            });
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        // Weeks are understood but never written: `30d` says more than `4w2d`.
        for (unit, factor) in SPAN_UNITS.into_iter().skip(1) {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ByteSize {
    /// Makes a size of so many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes a size of so many mebibytes (2^20 bytes).
    #[must_use]
    pub const fn from_mib(mebibytes: u32) -> Self {
        Self((mebibytes as u64) << 20)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Parses a size.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is a whole number with one of the units `B`, `kB`, `MB`,
    /// `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024), below 2^63 bytes.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FORM: ValueError = ValueError::Form {
            what: "a size",
            expected: "a text like \"64MiB\" or \"10GB\"",
        };
        let (number, unit) = leading_number(text).ok_or(FORM)?;
        let &(_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(FORM)?;
        match number.checked_mul(factor) {
            Some(bytes) if i64::try_from(bytes).is_ok() => Ok(Self(bytes)),
            _ => Err(FORM),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        let (unit, factor) = unit.unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Splits the decimal number off the beginning of a text.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_sums_of_falling_units() {
        for (text, seconds) in [
            ("30d", 2_592_000),
            ("25s", 25),
            ("1h30m", 5400),
            ("2w", 1_209_600),
        ] {
            assert_eq!(
                Span::parse(text).unwrap().duration().as_secs(),
                seconds,
                "{text}"
            );
        }
        assert_eq!(Span::parse("250ms").unwrap().duration().as_millis(), 250);
        for bad in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5h",
            "30m1h",
            "1h1h",
            "5S",
            "99999999999999d",
            "五s",
        ] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        for (text, bytes) in [("1B", 1), ("2kB", 2000), ("2KiB", 2048), ("3MiB", 3 << 20)] {
            assert_eq!(ByteSize::parse(text).unwrap().bytes(), bytes, "{text}");
        }
        for bad in ["", "5", "MiB", "5 MiB", "5mib", "-1B", "99999999999TiB"] {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_span_reads_back_what_it_writes(ms in 0..u64::from(u32::MAX) * 1000) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
        }

        #[test]
        fn a_size_reads_back_what_it_writes(bytes in 0..=i64::MAX as u64) {
            let size = ByteSize(bytes);
            prop_assert_eq!(ByteSize::parse(&size.to_string()), Ok(size));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = Span::parse(&text);
            let _ = ByteSize::parse(&text);
        }
    }
}
