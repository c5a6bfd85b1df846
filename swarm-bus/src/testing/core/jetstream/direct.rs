//! Reading single messages without a consumer: they come as messages, not as JSON.

use super::Context;
use super::store::{Store, Stored};
use super::stream::Stream;
use super::time::rfc3339;
use crate::testing::core::message::{Message, with_headers};
use crate::{Pattern, Subject};
use serde::Deserialize;

/// Which message is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
}

impl Wanted {
    /// Says whether it names one message, in one way.
    pub(super) fn is_sound(&self) -> bool {
        let (last, next) = (!self.last_by_subj.is_empty(), !self.next_by_subj.is_empty());
        (self.seq > 0 || last || next) && !(last && (next || self.seq > 0))
    }

    fn is_empty(&self) -> bool {
        self.seq == 0 && self.last_by_subj.is_empty() && self.next_by_subj.is_empty()
    }

    pub(super) fn find<'a>(&self, store: &'a Store) -> Option<(u64, &'a Stored)> {
        let filter = |text: &str| Pattern::parse(text).ok();
        if !self.next_by_subj.is_empty() {
            store.next(Some(&filter(&self.next_by_subj)?), self.seq)
        } else if self.seq > 0 {
            Some((self.seq, store.message(self.seq)?))
        } else {
            store.last_of(Some(&filter(&self.last_by_subj)?))
        }
    }
}

impl Stream {
    /// Answers `$JS.API.DIRECT.GET.<stream>[.<subject>]`.
    pub(super) fn handle_direct(
        &self,
        subject: Option<&str>,
        payload: &[u8],
        reply: &Subject,
        context: &mut Context<'_>,
    ) {
        let mut refuse = |line: &str| context.send(Message::status(reply, line, &[]));
        let wanted = match subject {
            Some(_) if !payload.is_empty() => return refuse("408 Bad Request"),
            Some(subject) => Wanted {
                last_by_subj: subject.to_owned(),
                ..Wanted::default()
            },
            None if payload.is_empty() => return refuse("408 Empty Request"),
            None => match serde_json::from_slice::<Wanted>(payload) {
                Err(_) => return refuse("408 Malformed Request"),
                Ok(wanted) if wanted.is_empty() => return refuse("408 Empty Request"),
                Ok(wanted) if !wanted.is_sound() => return refuse("408 Bad Request"),
                Ok(wanted) => wanted,
            },
        };
        let Some((sequence, stored)) = wanted.find(&self.store) else {
            return refuse("404 Message Not Found");
        };
        let about = [
            ("Nats-Stream", self.config.name.clone()),
            ("Nats-Subject", stored.subject.to_string()),
            ("Nats-Sequence", sequence.to_string()),
            ("Nats-Time-Stamp", rfc3339(stored.at)),
        ];
        context.send(Message {
            headers: with_headers(&stored.headers, &about),
            ..Message::answer(reply, stored.payload.clone())
        });
    }
}
