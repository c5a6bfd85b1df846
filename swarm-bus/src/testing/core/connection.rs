//! What the server knows of one connection.

use super::decode::{Decoder, Hello};
use super::grants::Grants;
use super::message::Message;
use crate::{Pattern, Subject};
use bytes::{BufMut, BytesMut};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) pattern: Pattern,
    pub(super) queue: Option<String>,
    delivered: u64,
    /// After how many messages it ends.
    max: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) user: String,
    pub(super) hello: Option<Hello>,
    pub(super) grants: Option<Grants>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) received: BytesMut,
    pub(super) decoder: Decoder,
    pub(super) out: BytesMut,
    pub(super) closing: bool,
}

impl Connection {
    pub(super) fn new(user: String, max_payload: usize) -> Self {
        Self {
            user,
            hello: None,
            grants: None,
            subscriptions: BTreeMap::new(),
            received: BytesMut::new(),
            decoder: Decoder::new(max_payload),
            out: BytesMut::new(),
            closing: false,
        }
    }

    pub(super) fn complain(&mut self, text: impl Display) {
        self.out.put_slice(format!("-ERR '{text}'\r\n").as_bytes());
    }

    /// Says why, and ends the connection after that.
    pub(super) fn close(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.complain(text);
        }
        self.closing = true;
        self.subscriptions.clear();
    }

    pub(super) fn confirm(&mut self) {
        if self.hello.as_ref().is_some_and(|hello| hello.verbose) {
            self.out.put_slice(b"+OK\r\n");
        }
    }

    pub(super) fn subscribe(&mut self, sid: String, pattern: Pattern, queue: Option<String>) {
        // A number that is in use keeps what it stands for.
        self.subscriptions.entry(sid).or_insert(Subscription {
            pattern,
            queue,
            delivered: 0,
            max: None,
        });
    }

    pub(super) fn unsubscribe(&mut self, sid: &str, max: Option<u64>) {
        let Some(subscription) = self.subscriptions.get_mut(sid) else {
            return;
        };
        match max {
            Some(max) if max > subscription.delivered => subscription.max = Some(max),
            _ => drop(self.subscriptions.remove(sid)),
        }
    }

    /// Returns the numbers of the subscriptions to a subject.
    pub(super) fn matching<'a>(
        &'a self,
        subject: &'a Subject,
    ) -> impl Iterator<Item = (&'a String, &'a Subscription)> {
        self.subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.pattern.matches(subject))
    }

    /// Delivers a message; says whether it was.
    pub(super) fn deliver(
        &mut self,
        sid: &str,
        message: &Message,
        own: bool,
        now: Duration,
    ) -> bool {
        let Some(hello) = &self.hello else {
            return false;
        };
        let grants = self.grants.as_mut();
        if (own && !hello.echo)
            || grants
                .as_ref()
                .is_some_and(|grants| !grants.may_receive(&message.subject))
        {
            return false;
        }
        let Some(subscription) = self.subscriptions.get_mut(sid) else {
            return false;
        };
        subscription.delivered += 1;
        message.write(&mut self.out, sid, hello.headers);
        if let (Some(grants), Some(reply)) = (grants, &message.reply) {
            grants.note_request(reply, now);
        }
        if subscription
            .max
            .is_some_and(|max| subscription.delivered >= max)
        {
            self.subscriptions.remove(sid);
        }
        true
    }

    /// Takes new permissions. Subscriptions that they do not allow end, and the client is told.
    pub(super) fn change_grants(&mut self, mut grants: Grants) {
        let Self {
            subscriptions, out, ..
        } = self;
        subscriptions.retain(|sid, Subscription { pattern, queue, .. }| {
            let kept = grants.may_subscribe(pattern, None)
                || queue.as_deref().is_some_and(|queue| grants.may_subscribe(pattern, Some(queue)));
            if !kept {
                let text = format!(
                    "-ERR 'Permissions Violation for Subscription to \"{pattern}\" (sid \"{sid}\")'\r\n"
                );
                out.put_slice(text.as_bytes());
            }
            kept
        });
        self.grants = Some(grants);
    }
}
