//! Goes through the messages of a filter in the order of the stream.

use super::StreamError;
use super::read::{Asked, Reader};
use super::stored::Stored;
use crate::Pattern;
use std::collections::VecDeque;

/// How many bytes may be on their way at a time, by the size of the message before.
const BUDGET: usize = 2 << 20;
/// How many questions may be on their way at a time.
const MAX_AHEAD: usize = 64;

/// Goes through the messages of a filter. The sequence number that it has come to is all its state,
/// so that it goes on after a loss of the connection where it stopped, without a gap or a double.
///
/// Several questions are on their way at a time, for sequence numbers that follow each other:
/// a guess, since only the stream knows where the filter's next message lies. Where it is right,
/// one round trip brings many messages; where it is wrong, the answers repeat each other, and it
/// asks for less.
pub(crate) struct Cursor {
    reader: Reader,
    filter: Pattern,
    position: u64,
    ahead: Ahead,
    asked: VecDeque<(u64, Asked)>,
}

impl Cursor {
    /// Makes a cursor that stands behind the message `position`; 0 is before the first.
    pub(crate) fn new(reader: Reader, filter: Pattern, position: u64) -> Self {
        Self {
            reader,
            filter,
            position,
            ahead: Ahead::default(),
            asked: VecDeque::new(),
        }
    }

    /// Returns the sequence number of the last message that came out.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the next message; `None` where there is none yet.
    ///
    /// Dropping the future before it is ready loses nothing. After an error it goes on where it
    /// stopped.
    pub(crate) async fn next(&mut self) -> Result<Option<Stored>, StreamError> {
        let result = self.advance().await;
        if !matches!(result, Ok(Some(_))) {
            self.asked.clear();
            self.ahead = Ahead::default();
        }
        result
    }

    async fn advance(&mut self) -> Result<Option<Stored>, StreamError> {
        // What was asked for behind the message before is answered by it.
        while self
            .asked
            .front()
            .is_some_and(|(from, _)| *from <= self.position)
        {
            self.asked.pop_front();
        }
        self.ask()?;
        let (from, asked) = self.asked.front_mut().expect("at least one was asked for");
        let from = *from;
        let mut answer = self.reader.answer_to(asked).await?;
        self.asked.pop_front();
        if answer.is_none() {
            self.asked.clear();
            answer = self.reader.confirm_nothing(&self.filter, from).await?;
        }
        let Some(stored) = answer else {
            return Ok(None);
        };
        if stored.sequence < from {
            return Err(StreamError::Malformed {
                what: "Nats-Sequence",
            });
        }
        self.ahead
            .adapt(stored.sequence == from, stored.payload.len());
        self.position = stored.sequence;
        Ok(Some(stored))
    }

    /// Asks for as much as may be on its way.
    fn ask(&mut self) -> Result<(), StreamError> {
        let mut from = self.asked.back().map_or(self.position, |(from, _)| *from);
        let missing = self.ahead.count().saturating_sub(self.asked.len());
        for _ in 0..missing {
            from = from.checked_add(1).ok_or(StreamError::Malformed {
                what: "Nats-Sequence",
            })?;
            match self.reader.begin_next(&self.filter, from) {
                Ok(asked) => self.asked.push_back((from, asked)),
                Err(error) if self.asked.is_empty() => return Err(error),
                // What was asked for before still comes; the error comes again after it.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// How many questions to have on their way. One large message among small ones is remembered for a
/// while.
#[derive(Debug)]
struct Ahead {
    count: usize,
    size: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { count: 1, size: 1 }
    }
}

impl Ahead {
    fn count(&self) -> usize {
        self.count.min((BUDGET / self.size).max(1))
    }

    /// Takes note whether the guess was right, and of the size of what came.
    fn adapt(&mut self, right: bool, size: usize) {
        self.size = size.max(self.size - self.size / 8).max(1);
        self.count = match right {
            true => (self.count * 2).min(MAX_AHEAD),
            false => (self.count / 2).max(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_for_more_where_the_guess_is_right_and_less_where_it_is_wrong() {
        let mut ahead = Ahead::default();
        let mut counts = vec![ahead.count()];
        for right in [true, true, true, false, false, false, false] {
            ahead.adapt(right, 10);
            counts.push(ahead.count());
        }
        assert_eq!(counts, [1, 2, 4, 8, 4, 2, 1, 1]);
    }

    #[test]
    fn what_is_on_its_way_is_bounded_in_number_and_in_bytes() {
        let mut ahead = Ahead::default();
        for _ in 0..100 {
            ahead.adapt(true, 0);
        }
        assert_eq!(ahead.count(), MAX_AHEAD);
        ahead.adapt(true, 128 << 10);
        assert_eq!(ahead.count(), 16);
        ahead.adapt(true, usize::MAX);
        assert_eq!(ahead.count(), 1);
    }
}
