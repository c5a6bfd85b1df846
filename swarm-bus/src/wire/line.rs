//! Lines of the protocol, which end in a line feed and mostly a carriage return before it.

use bytes::BytesMut;

/// A line does not end within its longest length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

/// Takes the next line off the front of `from`, without its end, or `None` where it is not all
/// there yet. `scanned` is how much of `from` was searched in vain; it begins at 0.
pub(crate) fn take_line(
    from: &mut BytesMut,
    scanned: &mut usize,
    longest: usize,
) -> Result<Option<BytesMut>, LineTooLong> {
    let Some(found) = from[*scanned..].iter().position(|byte| *byte == b'\n') else {
        *scanned = from.len();
        return match from.len() > longest {
            true => Err(LineTooLong),
            false => Ok(None),
        };
    };
    let end = *scanned + found;
    *scanned = 0;
    if end > longest {
        return Err(LineTooLong);
    }
    let mut line = from.split_to(end + 1);
    line.truncate(end);
    if line.last() == Some(&b'\r') {
        line.truncate(end - 1);
    }
    Ok(Some(line))
}
