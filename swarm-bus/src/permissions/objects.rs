//! What may be done with a bucket of objects.

use super::policy::read_stream;
use crate::{Pattern, Token};

/// What may be done with a bucket of objects. There is no right over a single object: JetStream's
/// requests for a message and for a purge bear their subjects in their bodies, where permissions do
/// not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectRight {
    /// List, read and watch them.
    Read,
    /// Read, store, replace and delete them.
    Write,
}

impl ObjectRight {
    /// Returns what a node with the right publishes.
    pub(super) fn publishes(self, bucket: &Token) -> Vec<Pattern> {
        let stream = format!("OBJ_{bucket}");
        let mut patterns = Vec::from(read_stream(&stream));
        if self == Self::Write {
            patterns.extend([
                Pattern::from_checked(format!("$JS.API.STREAM.PURGE.{stream}")),
                Pattern::from_checked(format!("$O.{bucket}.C.*")),
                Pattern::from_checked(format!("$O.{bucket}.M.*")),
            ]);
        }
        patterns
    }

    /// Returns what a node with the right subscribes to: what is told of changes.
    pub(super) fn subscribes(self, bucket: &Token) -> Pattern {
        Pattern::from_checked(format!("$O.{bucket}.M.*"))
    }
}

#[cfg(test)]
mod tests {
    use crate::Token;
    use crate::permissions::{ObjectRight, Policy, Role};

    #[test]
    fn a_reader_may_ask_and_a_writer_also_store_and_purge() {
        let bucket = Token::from_static("b");
        let policy = Policy::new()
            .with_objects(Role::Edge, ObjectRight::Read, bucket.clone())
            .with_objects(Role::Operator, ObjectRight::Write, bucket);
        let node = Token::from_static("n1");
        let reader = policy.permissions(&node, &[Role::Edge]);
        let read = [
            "$JS.API.DIRECT.GET.OBJ_b",
            "$JS.API.DIRECT.GET.OBJ_b.>",
            "$JS.API.STREAM.INFO.OBJ_b",
            "$JS.API.STREAM.MSG.GET.OBJ_b",
        ];
        assert_eq!(reader.publish_allow, read);
        assert_eq!(reader.subscribe_allow, ["$O.b.M.*", "_INBOX_n1.>"]);
        let writer = policy.permissions(&node, &[Role::Operator]);
        let write = ["$JS.API.STREAM.PURGE.OBJ_b", "$O.b.C.*", "$O.b.M.*"];
        assert_eq!(writer.publish_allow, [&read[..], &write[..]].concat());
    }

    #[test]
    #[should_panic = "is no name of a bucket"]
    fn a_right_over_what_is_no_bucket_is_not_given() {
        let odd = Token::from_static("a/b");
        let _ = Policy::new().with_objects(Role::Edge, ObjectRight::Read, odd);
    }
}
