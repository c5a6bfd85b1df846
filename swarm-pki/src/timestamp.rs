//! Whole seconds of UTC, the only resolution X.509 knows.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, up to the end of the year 9999.
///
/// It prints, parses and serializes as RFC 3339 (`2026-11-22T19:26:00Z`). Additions and
/// subtractions saturate at both ends.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// The text is not an RFC 3339 time between 1970 and 9999.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time between 1970 and 9999: {0:?}")]
pub struct ParseTimestampError(String);

impl Timestamp {
    /// The first second: 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);
    /// The last second: 9999-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_402_300_799);

    /// Makes a time from seconds since the Unix epoch; later than [`MAX`](Self::MAX) saturates.
    pub const fn from_unix(seconds: u64) -> Self {
        if seconds > Self::MAX.0 {
            Self::MAX
        } else {
            Self(seconds)
        }
    }

    /// Returns the seconds since the Unix epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// Reads the system's clock.
    #[cfg(any(feature = "store", feature = "tls"))]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where this crate's shells read the clock; cores take `now`"
    )]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Returns how long before `self` the time `earlier` was; zero if it was not before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self::from_unix(self.0.saturating_add(rhs.as_secs()))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs.as_secs()))
    }
}

impl From<SystemTime> for Timestamp {
    /// Cuts off the fraction of the second; a clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self::from_unix(
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_secs(time.0)
    }
}

impl From<UnixTime> for Timestamp {
    fn from(time: UnixTime) -> Self {
        Self::from_unix(time.as_secs())
    }
}

impl From<Timestamp> for UnixTime {
    fn from(time: Timestamp) -> Self {
        UnixTime::since_unix_epoch(Duration::from_secs(time.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|time| time.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.pad(&text)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
            .filter(|seconds| *seconds <= Self::MAX.0)
            .map(Self)
            .ok_or_else(|| ParseTimestampError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = ParseTimestampError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

/// A length of time as a person says it: the two largest units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [
            (seconds / 86_400, "d"),
            (seconds / 3_600 % 24, "h"),
            (seconds / 60 % 60, "min"),
            (seconds % 60, "s"),
        ];
        let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
        let (count, unit) = units[first];
        write!(f, "{count} {unit}")?;
        match units.get(first + 1) {
            Some((count, unit)) if *count > 0 => write!(f, " {count} {unit}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_and_parses_as_rfc_3339() {
        let time = Timestamp::from_unix(1_795_375_560);
        assert_eq!(time.to_string(), "2026-11-22T19:26:00Z");
        assert_eq!("2026-11-22T19:26:00Z".parse(), Ok(time));
        assert_eq!("2026-11-22T20:26:00+01:00".parse(), Ok(time));
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59Z");
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::from_secs(1), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn a_duration_is_said_in_its_two_largest_units() {
        let said = |seconds| Spoken(Duration::from_secs(seconds)).to_string();
        assert_eq!(said(0), "0 s");
        assert_eq!(said(61), "1 min 1 s");
        assert_eq!(said(86_400), "1 d");
        assert_eq!(said(90_061), "1 d 1 h");
    }
}
