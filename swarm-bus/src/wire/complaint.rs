//! What a server objects to: `-ERR`, which is text only.

/// A server's objection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// A message was not passed on.
    PublishDenied { subject: String },
    /// A subscription was not made.
    SubscribeDenied {
        pattern: String,
        queue: Option<String>,
    },
    /// The server does not, or no longer, take the client for a user.
    Unauthorized { text: String },
    /// Something else.
    Other { text: String },
}

impl Complaint {
    /// Reads the text between the quotes of `-ERR '…'`.
    pub(crate) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        if let Some(rest) = strip(text, &lower, "permissions violation for publish to ")
            && let Some((subject, _)) = quoted(rest)
        {
            return Self::PublishDenied { subject };
        }
        if let Some(rest) = strip(text, &lower, "permissions violation for subscription to ")
            && let Some((pattern, rest)) = quoted(rest)
        {
            let queue = rest
                .trim_start()
                .strip_prefix("using queue ")
                .and_then(|rest| quoted(rest).map(|(queue, _)| queue));
            return Self::SubscribeDenied { pattern, queue };
        }
        let unauthorized = [
            "authorization violation",
            "user authentication expired",
            "user authentication revoked",
            "account authentication expired",
            "authentication revoked",
        ];
        let text = text.to_owned();
        match unauthorized.iter().any(|start| lower.starts_with(start)) {
            true => Self::Unauthorized { text },
            false => Self::Other { text },
        }
    }
}

fn strip<'a>(text: &'a str, lower: &str, prefix: &str) -> Option<&'a str> {
    lower.starts_with(prefix).then(|| &text[prefix.len()..])
}

/// Reads a string as Go's `%q` writes it, and returns what follows. Escapes other than of the quote
/// and the backslash do not occur in subjects.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objections_are_told_apart() {
        assert_eq!(
            Complaint::parse(r#"Permissions Violation for Publish to "a.b""#),
            Complaint::PublishDenied {
                subject: "a.b".into()
            }
        );
        assert_eq!(
            Complaint::parse(r#"Permissions Violation for Subscription to "a.>" using queue "q""#),
            Complaint::SubscribeDenied {
                pattern: "a.>".into(),
                queue: Some("q".into())
            }
        );
        assert_eq!(
            Complaint::parse(r#"Permissions Violation for Subscription to "a\"b\\c""#),
            Complaint::SubscribeDenied {
                pattern: r#"a"b\c"#.into(),
                queue: None
            }
        );
        assert!(matches!(
            Complaint::parse("Authorization Violation"),
            Complaint::Unauthorized { .. }
        ));
        assert!(matches!(
            Complaint::parse("Permissions Violation for Publish to \"a"),
            Complaint::Other { .. }
        ));
    }
}
