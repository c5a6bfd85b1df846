//! Which paths are closed, judged so that no spelling of a path slips past.
//!
//! The front forwards a path exactly as it came, and therefore only if every server would read it
//! alike. A path that two servers could read differently is refused as [ambiguous](PathError);
//! what is left is compared in all its decodings.

use std::{fmt, str::FromStr};

/// How often a path is decoded before it counts as a trick: once by a careful server, twice by a
/// careless one, and once more to see that nothing is left.
const MAX_DECODINGS: usize = 3;

/// The longest path that is looked at, in bytes; the request line may be longer by its query.
const MAX_PATH: usize = 8 * 1024;

/// Says why a path is not forwarded: servers disagree on what such a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path does not start with a slash.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// The path is longer than 8 KiB.
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// A `.` or `..` segment, plain or percent-encoded.
    #[error("the path has a dot segment")]
    DotSegment,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A backslash, which some servers take for a slash, plain or percent-encoded.
    #[error("the path has a backslash")]
    Backslash,
    /// A control character, plain or percent-encoded.
    #[error("the path has a control character")]
    Control,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path has a malformed percent-encoding")]
    BadEncoding,
    /// Bytes that are not UTF-8 once decoded: overlong forms hide dots and slashes.
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
    /// A prefix with percent-encodings; it is compared with decoded paths.
    #[error("a prefix is written without percent-encodings")]
    EncodedPrefix,
    /// Percent-encodings nested deeper than any client writes them.
    #[error("the path is percent-encoded more than {MAX_DECODINGS} times")]
    NestedEncoding,
}

/// A path prefix that is compared segment by segment: `/_synapse/admin` covers itself and
/// `/_synapse/admin/v1/users`, but not `/_synapse/administrator`.
///
/// ASCII case is ignored, and so is anything after a `;`, `?` or `#` within a segment: some servers
/// do so, and a prefix that is closed must stay closed for all of them.
///
/// ```
/// use swarm_pki::front::PathPrefix;
///
/// let admin: PathPrefix = "/_synapse/admin".parse()?;
/// assert!(admin.covers("/_synapse/admin/v1/users")?);
/// assert!(admin.covers("/_Synapse%2Fadmin")?);
/// assert!(!admin.covers("/_synapse/client")?);
/// assert!(admin.covers("/x/%2e%2e/_synapse/admin").is_err());
/// # Ok::<(), swarm_pki::front::PathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPrefix(Vec<String>);

impl PathPrefix {
    /// Says whether the prefix covers `path` in any of its decodings.
    ///
    /// # Errors
    /// The path is ambiguous and must not be forwarded at all.
    pub fn covers(&self, path: &str) -> Result<bool, PathError> {
        Ok(Judged::new(path)?.is_under(self))
    }
}

impl FromStr for PathPrefix {
    type Err = PathError;

    /// Reads a prefix in plain form, with or without a slash at its end.
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.contains('%') {
            return Err(PathError::EncodedPrefix);
        }
        let judged = Judged::new(text)?;
        Ok(Self(judged.forms.into_iter().next().unwrap_or_default()))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0
            .iter()
            .try_for_each(|segment| write!(f, "/{segment}"))
    }
}

/// A path that every server reads alike, as the segments of each of its decodings.
#[derive(Debug)]
pub(super) struct Judged {
    /// Lower-case segments without parameters; the path as it came first, fully decoded last.
    forms: Vec<Vec<String>>,
}

impl Judged {
    /// Takes a path without its query.
    pub(super) fn new(path: &str) -> Result<Self, PathError> {
        if path.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        if !path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        // Only the raw form: an encoded pair of slashes is legitimate inside one segment.
        if path.contains("//") {
            return Err(PathError::EmptySegment);
        }
        let mut forms = vec![segments(path)?];
        let mut current = path.to_owned();
        while current.contains('%') {
            // A malformed `%` in a second decoding was `%25`, a literal percent sign, in the first.
            let decoded = decode(&current, forms.len() > 1)?;
            if decoded == current {
                break;
            }
            if forms.len() > MAX_DECODINGS {
                return Err(PathError::NestedEncoding);
            }
            forms.push(segments(&decoded)?);
            current = decoded;
        }
        Ok(Self { forms })
    }

    /// Says whether any decoding lies under the prefix.
    pub(super) fn is_under(&self, prefix: &PathPrefix) -> bool {
        self.forms.iter().any(|form| form.starts_with(&prefix.0))
    }
}

/// Splits into segments to compare, and refuses what servers would read differently.
fn segments(path: &str) -> Result<Vec<String>, PathError> {
    if path.contains('\\') {
        return Err(PathError::Backslash);
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        let plain = segment.split([';', '?', '#']).next().unwrap_or_default();
        match plain {
            "." | ".." => return Err(PathError::DotSegment),
            "" => {}
            _ => segments.push(plain.to_ascii_lowercase()),
        }
    }
    Ok(segments)
}

/// Decodes each `%xx` once; a malformed one is kept if `lenient`, and an error otherwise.
fn decode(path: &str, lenient: bool) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let mut decoded = [byte];
        if byte == b'%' {
            match rest.split_at_checked(2) {
                Some((digits, tail)) if hex::decode_to_slice(digits, &mut decoded).is_ok() => {
                    rest = tail;
                }
                _ if lenient => decoded = [byte],
                _ => return Err(PathError::BadEncoding),
            }
        }
        bytes.extend_from_slice(&decoded);
    }
    String::from_utf8(bytes).map_err(|_| PathError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> PathPrefix {
        "/_synapse/admin".parse().unwrap()
    }

    #[test]
    fn every_spelling_of_a_closed_path_is_covered_or_refused() {
        for path in [
            "/_synapse/admin",
            "/_synapse/admin/",
            "/_synapse/admin/v1/users",
            "/_SYNAPSE/Admin/v1",
            "/%5fsynapse/admin",
            "/_synapse/%61dmin",
            "/_synapse%2fadmin",
            "/_synapse%2Fadmin%2Fv1",
            "/%255fsynapse/admin",
            "/_synapse;a=b/admin",
            "/_synapse/admin;x",
            "/_synapse/admin%3fx",
            "/_synapse/admin%23x",
            "/;x/_synapse/admin",
            "/%2F_synapse/admin",
            "/%2525255fsynapse/admin",
            "/%25zz/%255fsynapse/../admin",
            "/%255fsynapse/%2561dmin/%25zz",
            "//_synapse/admin",
            "/_synapse//admin",
            "/./_synapse/admin",
            "/x/../_synapse/admin",
            "/x/%2e%2e/_synapse/admin",
            "/x/.%2E/_synapse/admin",
            "/x%2f..%2f_synapse/admin",
            "/x/%252e%252e/_synapse/admin",
            "/x/..;/_synapse/admin",
            "/x/..\\_synapse/admin",
            "/x%5c..%5c_synapse/admin",
            "/%c0%ae%c0%ae/_synapse/admin",
            "/_synapse/admin%00",
            "/_synapse/%0aadmin",
            "/_synapse/ad%zzmin",
            "/_synapse/admin%",
            "_synapse/admin",
            "",
        ] {
            assert!(
                !matches!(admin().covers(path), Ok(false)),
                "{path} slipped past"
            );
        }
    }

    #[test]
    fn honest_paths_pass() {
        for path in [
            "/",
            "/_synapse/administrator",
            "/_synapse/client",
            "/_matrix/client/v3/sync",
            "/_matrix/client/v3/rooms/!abc:swarm/state/swarm.node/%40edge1%3Aswarm",
            "/_matrix/client/v3/rooms/!abc:swarm/state/m.room.name/",
            "/_matrix/client/v3/directory/room/%23ops%3Aswarm",
            "/_matrix/client/v3/rooms/%21a/event/%24x%2F%2Fy",
            "/files/100%25",
            "/files/100%25.txt",
            "/files/a%20b",
            "/files/caf%C3%A9",
            "/files/...",
            "/files/.hidden",
        ] {
            assert_eq!(admin().covers(path), Ok(false), "{path}");
        }
    }

    #[test]
    fn a_prefix_is_written_plainly() {
        assert_eq!(
            "/%5fsynapse".parse::<PathPrefix>(),
            Err(PathError::EncodedPrefix)
        );
        assert_eq!(
            "_synapse".parse::<PathPrefix>(),
            Err(PathError::NotAbsolute)
        );
        assert_eq!("/a/../b".parse::<PathPrefix>(), Err(PathError::DotSegment));
    }

    #[test]
    fn the_root_prefix_covers_everything() {
        let root: PathPrefix = "/".parse().unwrap();
        assert_eq!(root.covers("/anything/at/all"), Ok(true));
        assert_eq!(root.to_string(), "/");
        assert_eq!(admin().to_string(), "/_synapse/admin");
    }
}
