//! Calendar time to seconds and back, for UTCTime and GeneralizedTime.

use crate::Timestamp;

const DAY: u64 = 86_400;

/// Reads `YYMMDDHHMMSSZ`; years from 50 are of the twentieth century.
pub(super) fn read_utc(digits: &[u8]) -> Option<Timestamp> {
    let (year, rest) = digits.split_at_checked(2)?;
    let year = number(year)?;
    read(if year < 50 { 2000 + year } else { 1900 + year }, rest)
}

/// Reads `YYYYMMDDHHMMSSZ`.
pub(super) fn read_generalized(digits: &[u8]) -> Option<Timestamp> {
    let (year, rest) = digits.split_at_checked(4)?;
    read(number(year)?, rest)
}

fn read(year: u64, rest: &[u8]) -> Option<Timestamp> {
    if rest.len() != 11 || rest[10] != b'Z' || year < 1970 {
        return None;
    }
    let field = |index: usize| number(&rest[2 * index..2 * index + 2]);
    let (month, day) = (field(0)?, field(1)?);
    let (hour, minute, second) = (field(2)?, field(3)?, field(4)?);
    let valid = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds = days_before(year, month, day) * DAY + hour * 3_600 + minute * 60 + second;
    valid.then(|| Timestamp::from_unix(seconds))
}

/// Writes the time as UTCTime until 2049 (`true`), as GeneralizedTime from 2050.
pub(super) fn write(time: Timestamp) -> (bool, [u8; 15], usize) {
    let (days, seconds) = (time.as_unix() / DAY, time.as_unix() % DAY);
    let (year, month, day) = date(days);
    let is_utc = year < 2050;
    let mut digits = [b'Z'; 15];
    let mut at = 0;
    let mut put = |value: u64| {
        digits[at] = b'0' + (value / 10 % 10) as u8;
        digits[at + 1] = b'0' + (value % 10) as u8;
        at += 2;
    };
    if !is_utc {
        put(year / 100);
    }
    [
        year % 100,
        month,
        day,
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
    ]
    .into_iter()
    .for_each(&mut put);
    (is_utc, digits, at + 1)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date, counting years from March so that the leap day comes last.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_months = (153 * month + 2) / 5;
    (365 * year + year / 4 - year / 100 + year / 400 + of_months + day).saturating_sub(719_469)
}

/// Year, month and day of a day since 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_back(time: Timestamp) -> Option<Timestamp> {
        let (is_utc, digits, length) = write(time);
        if is_utc {
            read_utc(&digits[..length])
        } else {
            read_generalized(&digits[..length])
        }
    }

    #[test]
    fn the_ends_of_the_calendar_and_of_the_short_form_are_met() {
        let text = |time: &str| {
            let (_, digits, length) = write(time.parse().unwrap());
            String::from_utf8(digits[..length].to_vec()).unwrap()
        };
        assert_eq!(text("1970-01-01T00:00:00Z"), "700101000000Z");
        assert_eq!(text("2024-02-29T23:59:59Z"), "240229235959Z");
        assert_eq!(text("2049-12-31T23:59:59Z"), "491231235959Z");
        assert_eq!(text("2050-01-01T00:00:00Z"), "20500101000000Z");
        assert_eq!(text("9999-12-31T23:59:59Z"), "99991231235959Z");
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(read_back(time), Some(time));
        }
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for bad in [
            "230229000000Z",
            "240230000000Z",
            "241301000000Z",
            "240001000000Z",
            "240100000000Z",
            "240101240000Z",
            "240101006000Z",
            "240101000060Z",
            "2401010000Z",
            "240101000000",
            "240101000000+0000",
            "24010100000aZ",
            "690101000000Z",
        ] {
            assert_eq!(read_utc(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read_generalized(b"19690101000000Z"), None);
        assert_eq!(read_generalized(b"20240101000000.5Z"), None);
    }

    proptest! {
        #[test]
        fn every_second_is_read_as_it_was_written_and_as_others_say_it(
            seconds in 0..=Timestamp::MAX.as_unix(),
        ) {
            let time = Timestamp::from_unix(seconds);
            prop_assert_eq!(read_back(time), Some(time));
            let (_, digits, length) = write(time);
            let said: String = time.to_string().chars().filter(char::is_ascii_digit).collect();
            let written = std::str::from_utf8(&digits[..length - 1]).unwrap();
            prop_assert!(said.ends_with(written));
        }
    }
}
