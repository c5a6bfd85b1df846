//! The streams of advisories and letters, and the keeper's consumer, as data.

use super::{Advisories, DeadLetterTopic};
use crate::stream::{ConsumerConfig, Discard, Retention, StreamConfig};
use crate::{Pattern, Token, Topic};
use std::time::Duration;

/// The stream of advisories that no keeper has handled yet.
pub const ADVISORIES_STREAM: Token = Token::from_static("DEAD_ADVISORIES");
/// The stream of dead letters.
pub const LETTERS_STREAM: Token = Token::from_static("DEAD_LETTERS");
/// The consumer of advisories that all keepers share.
pub const KEEPER: Token = Token::from_static("keeper");

/// Returns the stream that keeps advisories until a letter is stored: a work queue on disk of
/// 256 MiB.
#[must_use]
pub fn advisories_stream() -> StreamConfig {
    let subjects = Advisories::KINDS.map(|kind| Advisories::of_kind(kind).pattern().clone());
    let mut stream = StreamConfig::new(ADVISORIES_STREAM, subjects.to_vec());
    stream.retention = Retention::WorkQueue;
    stream.max_bytes = Some(256 << 20);
    stream
}

/// Returns the stream that keeps letters: on disk, 1 GiB, without an end. A letter of one message
/// and consumer replaces its like, however late that comes. When it is full it takes no more.
#[must_use]
pub fn letters_stream() -> StreamConfig {
    let mut stream = StreamConfig::new(
        LETTERS_STREAM,
        vec![DeadLetterTopic::any().pattern().clone()],
    );
    stream.max_bytes = Some(1 << 30);
    stream.max_messages_per_subject = Some(1);
    stream.discard = Discard::New;
    stream.duplicate_window = Duration::from_secs(24 * 3600);
    stream
}

/// Returns the consumer of advisories, by which several keepers share the work.
#[must_use]
pub fn keeper_consumer() -> ConsumerConfig {
    let mut consumer = ConsumerConfig::new(ADVISORIES_STREAM, KEEPER);
    consumer.ack_wait = Duration::from_secs(30);
    consumer.max_ack_pending = 64;
    consumer
}

/// What a keeper publishes to, and nothing more; see
/// [`Policy::with_dead_letter_keeper`](crate::permissions::Policy::with_dead_letter_keeper).
pub(crate) fn keeper_subjects() -> Vec<Pattern> {
    let (advisories, letters, keeper) = (ADVISORIES_STREAM, LETTERS_STREAM, KEEPER);
    let mut subjects = vec![
        format!("$JS.API.CONSUMER.INFO.{advisories}.{keeper}"),
        format!("$JS.API.CONSUMER.DURABLE.CREATE.{advisories}.{keeper}"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{advisories}.{keeper}"),
        format!("$JS.ACK.{advisories}.{keeper}.>"),
        // The originals, wherever they are.
        "$JS.API.STREAM.MSG.GET.*".to_owned(),
        format!("$JS.API.STREAM.MSG.DELETE.{letters}"),
    ];
    for stream in [advisories, letters] {
        for verb in ["INFO", "CREATE", "UPDATE"] {
            subjects.push(format!("$JS.API.STREAM.{verb}.{stream}"));
        }
    }
    let mut patterns: Vec<_> = subjects.into_iter().map(Pattern::from_checked).collect();
    patterns.push(DeadLetterTopic::any().pattern().clone());
    patterns
}

/// Says whether advisories about a stream are none of a keeper's: its own letters, failing again,
/// would beget letters without end.
#[cfg(any(feature = "client", test))]
pub(crate) fn is_own(stream: &Token) -> bool {
    [ADVISORIES_STREAM, LETTERS_STREAM].contains(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::{Policy, Role};

    #[test]
    fn a_keeper_may_this_and_nothing_else() {
        let policy = Policy::new().with_dead_letter_keeper(Role::Operator);
        let keeper = policy.permissions(&Token::from_static("k"), &[Role::Operator]);
        assert_eq!(
            keeper.publish_allow,
            [
                "$JS.ACK.DEAD_ADVISORIES.keeper.>",
                "$JS.API.CONSUMER.DURABLE.CREATE.DEAD_ADVISORIES.keeper",
                "$JS.API.CONSUMER.INFO.DEAD_ADVISORIES.keeper",
                "$JS.API.CONSUMER.MSG.NEXT.DEAD_ADVISORIES.keeper",
                "$JS.API.STREAM.CREATE.DEAD_ADVISORIES",
                "$JS.API.STREAM.CREATE.DEAD_LETTERS",
                "$JS.API.STREAM.INFO.DEAD_ADVISORIES",
                "$JS.API.STREAM.INFO.DEAD_LETTERS",
                "$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS",
                "$JS.API.STREAM.MSG.GET.*",
                "$JS.API.STREAM.UPDATE.DEAD_ADVISORIES",
                "$JS.API.STREAM.UPDATE.DEAD_LETTERS",
                "dead.*.*.*",
            ]
        );
        assert_eq!(keeper.subscribe_allow, ["_INBOX_k.>"]);
    }

    #[test]
    fn advisories_of_the_letters_themselves_are_left_alone() {
        assert!(is_own(&LETTERS_STREAM) && is_own(&ADVISORIES_STREAM));
        assert!(!is_own(&Token::from_static("JOBS")));
    }
}
