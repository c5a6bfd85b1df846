//! The `Date` header: how a joining machine learns that its own clock is wrong.

use http::HeaderValue;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::Timestamp;

/// Writes the IMF-fixdate form of RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn write(now: Timestamp) -> HeaderValue {
    let seconds = i64::try_from(now.as_unix()).expect("a timestamp ends with the year 9999");
    let date = OffsetDateTime::from_unix_timestamp(seconds).expect("a timestamp is a date");
    let (day, month) = (date.weekday().to_string(), date.month().to_string());
    let text = format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &day[..3],
        date.day(),
        &month[..3],
        date.year(),
        date.hour(),
        date.minute(),
        date.second(),
    );
    HeaderValue::try_from(text).expect("a date is plain ASCII")
}

/// Reads what [`write`] writes.
pub(super) fn read(header: &HeaderValue) -> Option<Timestamp> {
    let text = header.to_str().ok()?.strip_suffix("GMT")?;
    let date = OffsetDateTime::parse(&format!("{text}+0000"), &Rfc2822).ok()?;
    u64::try_from(date.unix_timestamp())
        .ok()
        .map(Timestamp::from_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_reads_back() {
        let time = Timestamp::from_unix(784_111_777);
        assert_eq!(write(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read(&write(time)), Some(time));
        assert_eq!(read(&HeaderValue::from_static("yesterday")), None);
        assert_eq!(read(&HeaderValue::from_static("GMT")), None);
    }
}
