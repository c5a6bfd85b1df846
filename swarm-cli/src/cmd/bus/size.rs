//! Numbers of bytes, as people write and read them.

use std::str::FromStr;

/// A number of bytes, such as `512KiB`, `16MiB` or `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(u64);

impl Size {
    pub(super) fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err("a size is a number with B, KiB, MiB, GiB or TiB".to_owned()),
        };
        let bytes = number.parse::<u64>().ok().filter(|number| *number > 0);
        bytes
            .and_then(|number| number.checked_mul(1 << shift))
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self)
            .ok_or_else(|| "a size is a number from 1 on with B, KiB, MiB, GiB or TiB".to_owned())
    }
}

/// Bytes in the unit that a person reads.
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(4);
    match unit {
        0 => format!("{bytes} B"),
        unit => {
            let whole = bytes as f64 / (1_u64 << (10 * unit)) as f64;
            format!("{whole:.1} {}", units[unit as usize])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_said() {
        for (text, bytes) in [
            ("1000", 1000),
            ("16MiB", 16 << 20),
            ("1B", 1),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in [
            "",
            "0",
            "MiB",
            "1 MiB",
            "1MB",
            "-1",
            "1.5GiB",
            "99999999TiB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        for (bytes, said) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (512 << 20, "512.0 MiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}
