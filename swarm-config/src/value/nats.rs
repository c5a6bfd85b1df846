//! Names that a NATS server gives a meaning to.

use super::{ValueError, check, text_value};

/// A subject or pattern of subjects in a permission: tokens with dots between, `*` and a last
/// `>` as wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatsSubject(String);

/// The name of a NATS user: with certificates mapped to users, the URI that the certificate
/// carries as its only alternative name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatsUser(String);

text_value!(NatsSubject);
text_value!(NatsUser);

impl NatsSubject {
    /// Parses a subject or pattern.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is tokens of printable ASCII (no space, quote or
    /// backslash) with single dots between, each wildcard a token by itself and `>` the last,
    /// 256 characters at most.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FORM: ValueError = ValueError::Form {
            what: "a NATS subject",
            expected: "tokens with single dots between, '*' or a last '>' standing alone",
        };
        check(
            "NATS subject",
            text,
            256,
            "printable ASCII without quotes is allowed",
            is_plain,
        )?;
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            let wild = token.contains(['*', '>']);
            let last = tokens.peek().is_none();
            if token.is_empty() || (wild && token.len() > 1) || (token == ">" && !last) {
                return Err(FORM);
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl NatsUser {
    /// Parses a user name.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is a URI (`scheme:rest`) of printable ASCII without
    /// spaces, quotes or backslashes, 256 characters at most.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FORM: ValueError = ValueError::Form {
            what: "a NATS user",
            expected: "a URI such as spiffe://swarm/node/edge1",
        };
        check(
            "NATS user",
            text,
            256,
            "printable ASCII without quotes is allowed",
            is_plain,
        )?;
        let (scheme, rest) = text.split_once(':').ok_or(FORM)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme.chars().all(fits)
            || rest.is_empty()
        {
            return Err(FORM);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A character that stands for itself between double quotes in a NATS configuration.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_keep_wildcards_in_their_places() {
        for good in [
            ">",
            "*",
            "a.b",
            "a.*.c",
            "a.>",
            "$JS.API.INFO",
            "_INBOX_edge1.>",
            "a-b.c:d",
        ] {
            assert_eq!(NatsSubject::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "", ".", "a.", ".a", "a..b", "a b", "a.>.b", "a*", "a.b>", "a\"", "a\n", "ä",
        ] {
            assert!(NatsSubject::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn users_are_uris() {
        let good = "spiffe://swarm/node/edge1";
        assert_eq!(NatsUser::parse(good).unwrap().as_str(), good);
        for bad in [
            "",
            "edge1",
            ":x",
            "1a:b",
            "spiffe:",
            "spiffe://a b",
            "x:\"}",
            "x:\u{7f}",
        ] {
            assert!(NatsUser::parse(bad).is_err(), "{bad:?}");
        }
    }
}
