//! The same rights where streams are reached in another JetStream domain.

use super::{Permissions, Policy, Role, reduce};
use crate::{Pattern, Token};

/// What there is of JetStream's API for whoever keeps the streams. All of it together would be the
/// right to write every bucket as well: in a domain that is a part of the API.
const KEEPER: [&str; 4] = ["INFO", "STREAM.>", "CONSUMER.>", "DIRECT.>"];

impl Policy {
    /// Returns what a node with these roles may do as [`permissions`](Self::permissions) does, where
    /// it reaches the streams and buckets
    /// [in a JetStream domain](crate::client::Client::in_domain).
    #[must_use]
    pub fn permissions_in(&self, domain: &Token, node: &Token, roles: &[Role]) -> Permissions {
        let here = self.permissions(node, roles);
        let there = |text: &String| through(domain, text);
        Permissions {
            publish_allow: reduce(here.publish_allow.iter().flat_map(there).collect()),
            ..here
        }
    }
}

fn through(domain: &Token, pattern: &str) -> Vec<Pattern> {
    let texts = if pattern == "$JS.API.>" {
        KEEPER
            .map(|request| format!("$JS.{domain}.API.{request}"))
            .into()
    } else if let Some(request) = pattern.strip_prefix("$JS.API.") {
        vec![format!("$JS.{domain}.API.{request}")]
    } else if pattern.starts_with("$KV.") {
        vec![format!("$JS.{domain}.API.{pattern}")]
    } else if let Some(message) = pattern.strip_prefix("$JS.ACK.") {
        // Newer servers say of which domain and account the consumer is.
        vec![pattern.to_owned(), format!("$JS.ACK.{domain}.*.{message}")]
    } else {
        vec![pattern.to_owned()]
    };
    texts.into_iter().map(Pattern::from_checked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_is_that_of_the_domain_and_no_more() {
        let through = |pattern: &str| -> Vec<String> {
            let patterns = through(&Token::from_static("d"), pattern);
            patterns.iter().map(ToString::to_string).collect()
        };
        assert_eq!(through("a.b"), ["a.b"]);
        assert_eq!(
            through("$JS.API.STREAM.INFO.S"),
            ["$JS.d.API.STREAM.INFO.S"]
        );
        assert_eq!(through("$KV.rooms.*"), ["$JS.d.API.$KV.rooms.*"]);
        assert_eq!(through("$O.b.C.*"), ["$O.b.C.*"]);
        assert_eq!(
            through("$JS.ACK.S.c.>"),
            ["$JS.ACK.S.c.>", "$JS.ACK.d.*.S.c.>"]
        );
        let keeper = through("$JS.API.>");
        assert_eq!(keeper.len(), 4);
        assert!(!keeper.iter().any(|one| one == "$JS.d.API.>"));
    }
}
