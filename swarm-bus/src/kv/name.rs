//! Which bucket a template is of, and which names other clients accept.

use crate::{Template, Token};

/// A name that not every client accepts for a bucket: letters, digits, `-` and `_` are what it may
/// hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a bucket")]
pub struct BucketNameError(pub Token);

/// Says whether every client accepts it as the name of a bucket: letters, digits, `-` and `_`.
pub(crate) const fn is_bucket_name(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        if !(text[at].is_ascii_alphanumeric() || text[at] == b'-' || text[at] == b'_') {
            return false;
        }
        at += 1;
    }
    !text.is_empty() && text.len() <= Token::MAX_LENGTH - 3
}

/// Returns the bucket of a template `$KV.<bucket>.…`; `None` where it is none.
pub(crate) const fn bucket_of(template: &Template) -> Option<&'static str> {
    let Some((prefix, rest)) = split(template.as_str()) else {
        return None;
    };
    let Some((bucket, _)) = split(rest) else {
        return None;
    };
    let [b'$', b'K', b'V'] = prefix.as_bytes() else {
        return None;
    };
    match is_bucket_name(bucket.as_bytes()) {
        true => Some(bucket),
        false => None,
    }
}

/// Cuts at the first dot.
const fn split(text: &'static str) -> Option<(&'static str, &'static str)> {
    let mut at = 0;
    while at < text.len() {
        if text.as_bytes()[at] == b'.' {
            let (before, after) = text.split_at(at);
            return Some((before, after.split_at(1).1));
        }
        at += 1;
    }
    None
}

/// Says whether every client accepts it as a key: letters, digits and `-/_=` between its dots.
pub(super) fn is_key(key: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte);
    !key.is_empty() && key.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_of_a_template_is_found() {
        const LOAD: Option<&str> = bucket_of(&Template::new("$KV.load.{node}"));
        assert_eq!(LOAD, Some("load"));
        assert_eq!(bucket_of(&Template::new("$KV.a-b_1.x.{y}")), Some("a-b_1"));
        for other in ["$KV.load", "KV.load.x", "$KV.{b}.x", "$KV.b$.x", "$O.b.M.x"] {
            assert_eq!(bucket_of(&Template::new(other)), None, "{other}");
        }
    }

    #[test]
    fn keys_hold_what_every_client_accepts() {
        assert!(is_key("a.b/c-d_e=.1"));
        for bad in ["", "a b", "a$", "ä", "a{", "a:b", "a\u{0}"] {
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
