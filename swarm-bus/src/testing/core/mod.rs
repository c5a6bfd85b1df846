//! The server without its connections' bytes moving by themselves: bytes and time in, bytes out.
//!
//! ```text
//!   handle_connect, handle_bytes, handle_timeout      take_output, due
//!                    │                                    ▲
//!                 decode ── grants ── publish ─┬─ connections (subscriptions, queue groups)
//!                                              └─ jetstream ──▶ answers, deliveries ──▶ publish
//! ```
//!
//! Time is a duration since 1970 and never runs back; what falls due before an event is handled
//! before it. Who of a queue group gets a message is up to a generator with a fixed seed.

mod connection;
mod decode;
mod grants;
mod jetstream;
mod message;

pub use jetstream::StreamState;

use crate::permissions::Permissions;
use crate::{Pattern, Subject};
use bytes::{BufMut, BytesMut};
use connection::Connection;
use decode::{ClientOp, Offence, Publish};
use grants::Grants;
use jetstream::{Context, JetStream};
use message::Message;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The version that the server says it is, and behaves as.
pub(crate) const VERSION: &str = "2.9.10";

/// What an in-process server allows.
///
/// # Defaults
/// Those of nats-server: messages of 1 MiB, 64 MiB for each client on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message, headers and payload together, in bytes.
    pub max_payload: usize,
    /// How many bytes may wait for a client before it is cut off as a slow consumer.
    pub max_pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: 1 << 20,
            max_pending: 64 << 20,
        }
    }
}

/// What an in-process server has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that were made.
    pub connects: u64,
    /// Connections that are there now.
    pub connections: u64,
    /// Subscriptions that are there now.
    pub subscriptions: u64,
    /// Messages that clients published.
    pub messages_in: u64,
    /// Messages that were delivered to clients, those of the server itself included.
    pub messages_out: u64,
    /// Publications that were not permitted.
    pub publications_denied: u64,
    /// Subscriptions that were not permitted.
    pub subscriptions_denied: u64,
    /// Requests of which the client was told that nobody serves them.
    pub no_responders: u64,
    /// Clients that were cut off because they read too slowly.
    pub slow_consumers: u64,
}

/// What the server has for one client.
#[derive(Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) bytes: BytesMut,
    /// Whether the connection ends after these bytes.
    pub(crate) closing: bool,
}

#[derive(Debug)]
pub(crate) struct Core {
    limits: Limits,
    users: BTreeMap<String, Permissions>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    /// Connections that have something to be taken.
    woken: BTreeSet<u64>,
    jetstream: JetStream,
    now: Duration,
    ids: u64,
    random: u64,
    counters: Counters,
}

impl Core {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            woken: BTreeSet::new(),
            jetstream: JetStream::default(),
            now: Duration::ZERO,
            ids: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            counters: Counters::default(),
        }
    }

    /// Makes a user known, or changes what it may do.
    pub(crate) fn admit(&mut self, user: &str, permissions: Permissions) {
        for (id, connection) in &mut self.connections {
            if connection.user == user && connection.grants.is_some() {
                connection.change_grants(Grants::new(&permissions));
                self.woken.insert(*id);
            }
        }
        self.users.insert(user.to_owned(), permissions);
    }

    /// Forgets a user and ends its connections.
    pub(crate) fn revoke(&mut self, user: &str) {
        self.users.remove(user);
        for (id, connection) in &mut self.connections {
            if connection.user == user {
                connection.close(Some("Authorization Violation"));
                self.woken.insert(*id);
            }
        }
    }

    /// Takes a connection on behalf of a user; the greeting is its first output.
    pub(crate) fn handle_connect(&mut self, user: &str, now: Duration) -> u64 {
        self.advance(now);
        let id = self.next_connection;
        self.next_connection += 1;
        let mut connection = Connection::new(user.to_owned(), self.limits.max_payload);
        let info = json!({
            "server_id": "IN_PROCESS",
            "server_name": "in-process",
            "version": VERSION,
            "proto": 1,
            "host": "in-process",
            "port": 4222,
            "headers": true,
            "auth_required": true,
            "max_payload": self.limits.max_payload,
            "jetstream": true,
            "client_id": id,
        });
        connection
            .out
            .put_slice(format!("INFO {info}\r\n").as_bytes());
        self.connections.insert(id, connection);
        self.woken.insert(id);
        self.counters.connects += 1;
        id
    }

    /// Handles what a client sent. What comes on a connection that has ended is nobody's.
    pub(crate) fn handle_bytes(&mut self, id: u64, bytes: &[u8], now: Duration) {
        self.advance(now);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.received.extend_from_slice(bytes);
        while let Some(connection) = self.connections.get_mut(&id) {
            if connection.closing {
                connection.received.clear();
                return;
            }
            match connection.decoder.decode(&mut connection.received) {
                Ok(Some(op)) => self.handle(id, op),
                Ok(None) => return,
                Err(offence) => self.offend(id, offence),
            }
        }
    }

    fn offend(&mut self, id: u64, offence: Offence) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let text = match &connection.hello {
                Some(_) => offence.text(),
                // Whoever did not say who it is learns nothing.
                None => Some("Authorization Violation"),
            };
            connection.close(text);
            self.woken.insert(id);
        }
    }

    fn handle(&mut self, id: u64, op: ClientOp) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        self.woken.insert(id);
        if let ClientOp::Connect(hello) = op {
            match self.users.get(&connection.user) {
                Some(permissions) => {
                    connection.grants = Some(Grants::new(permissions));
                    connection.hello = Some(hello);
                    connection.confirm();
                }
                None => connection.close(Some("Authorization Violation")),
            }
            return;
        }
        let (Some(hello), Some(grants)) = (&connection.hello, &mut connection.grants) else {
            return connection.close(Some("Authorization Violation"));
        };
        match op {
            ClientOp::Connect(_) | ClientOp::Pong => {}
            ClientOp::Ping => connection.out.put_slice(b"PONG\r\n"),
            ClientOp::BadPublish => connection.complain("Invalid Publish Subject"),
            ClientOp::BadSubscribe => connection.complain("Invalid Subject"),
            ClientOp::Subscribe {
                pattern,
                queue,
                sid,
            } => {
                if grants.may_subscribe(&pattern, queue.as_deref()) {
                    connection.subscribe(sid, pattern, queue);
                    connection.confirm();
                } else {
                    self.counters.subscriptions_denied += 1;
                    let queue = queue.map(|queue| format!(" using queue {queue:?}"));
                    let queue = queue.unwrap_or_default();
                    connection.complain(format_args!(
                        "Permissions Violation for Subscription to \"{pattern}\"{queue}"
                    ));
                }
            }
            ClientOp::Unsubscribe { sid, max } => {
                connection.unsubscribe(&sid, max);
                connection.confirm();
            }
            ClientOp::Publish(publish) if !publish.headers.is_empty() && !hello.headers => {
                connection.close(None);
            }
            ClientOp::Publish(publish) => self.handle_publish(id, publish),
        }
    }

    fn handle_publish(&mut self, id: u64, publish: Publish) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        self.counters.messages_in += 1;
        let subject = publish.subject;
        let grants = connection.grants.as_mut();
        if grants.is_some_and(|grants| !grants.may_publish(&subject, self.now)) {
            self.counters.publications_denied += 1;
            connection.complain(format_args!(
                "Permissions Violation for Publish to \"{subject}\""
            ));
            return;
        }
        // Whoever may send these could answer in the server's name.
        let reserved = ["$JS.ACK.", "_R_.", "_GR_."];
        if let Some(reply) = &publish.reply
            && reserved.iter().any(|start| reply.starts_with(start))
        {
            self.counters.publications_denied += 1;
            connection.complain(format_args!(
                "Permissions Violation for Publish with Reply of \"{reply}\""
            ));
            return;
        }
        connection.confirm();
        let message = Message {
            route: subject.clone(),
            subject,
            reply: publish.reply,
            headers: publish.headers,
            payload: publish.payload,
        };
        self.publish(Some(id), message);
    }

    /// Passes a message on, and all that follows from it.
    fn publish(&mut self, from: Option<u64>, message: Message) {
        let mut waiting = VecDeque::from([(from, message)]);
        while let Some((from, message)) = waiting.pop_front() {
            let mut delivered = self.deliver(from, &message);
            let mut out = Vec::new();
            delivered |= self.with_jetstream(&mut out, |jetstream, context| {
                jetstream.handle(&message, from.is_some(), context)
            });
            waiting.extend(out.into_iter().map(|message| (None, message)));
            if let (Some(from), false) = (from, delivered) {
                self.tell_of_nobody(from, &message);
            }
        }
    }

    fn with_jetstream<T>(
        &mut self,
        out: &mut Vec<Message>,
        ask: impl FnOnce(&mut JetStream, &mut Context<'_>) -> T,
    ) -> T {
        let connections = &self.connections;
        let interest = |subject: &Subject| {
            let mut connections = connections.values();
            connections.any(|connection| connection.matching(subject).next().is_some())
        };
        let mut context = Context {
            now: self.now,
            interest: &interest,
            out,
            ids: &mut self.ids,
        };
        ask(&mut self.jetstream, &mut context)
    }

    /// Delivers to every subscription, and to one of each queue group; says whether anybody got it.
    fn deliver(&mut self, from: Option<u64>, message: &Message) -> bool {
        let mut plain = Vec::new();
        let mut groups: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for (id, connection) in &self.connections {
            for (sid, subscription) in connection.matching(&message.route) {
                let place = (*id, sid.clone());
                match &subscription.queue {
                    None => plain.push(place),
                    Some(queue) => groups.entry(queue.clone()).or_default().push(place),
                }
            }
        }
        let mut delivered = false;
        for (id, sid) in plain {
            delivered |= self.deliver_to(id, &sid, from, message);
        }
        for members in groups.into_values() {
            let start = self.choose(members.len());
            let (before, after) = members.split_at(start);
            let mut in_turn = after.iter().chain(before);
            delivered |= in_turn.any(|(id, sid)| self.deliver_to(*id, sid, from, message));
        }
        delivered
    }

    fn deliver_to(&mut self, id: u64, sid: &str, from: Option<u64>, message: &Message) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        let delivered = connection.deliver(sid, message, from == Some(id), self.now);
        if delivered {
            self.counters.messages_out += 1;
            self.woken.insert(id);
            if connection.out.len() > self.limits.max_pending {
                self.counters.slow_consumers += 1;
                self.connections.remove(&id);
            }
        }
        delivered
    }

    /// Tells who asked that nobody serves the subject.
    fn tell_of_nobody(&mut self, id: u64, message: &Message) {
        let Some(reply) = message
            .reply
            .as_deref()
            .and_then(|reply| Subject::parse(reply).ok())
        else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !connection
            .hello
            .as_ref()
            .is_some_and(|hello| hello.no_responders && hello.headers)
        {
            return;
        }
        let own = connection
            .matching(&reply)
            .find(|(_, subscription)| subscription.queue.is_none())
            .map(|(sid, _)| sid.clone());
        if let Some(sid) = own {
            Message::status(&reply, "503", &[]).write(&mut connection.out, &sid, true);
            self.counters.no_responders += 1;
            self.woken.insert(id);
        }
    }

    /// Chooses one of so many: xorshift, which is fair enough.
    fn choose(&mut self, count: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % count.max(1) as u64) as usize
    }

    /// Handles what has fallen due.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
    }

    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.jetstream.due().is_some_and(|due| due <= self.now) {
            let mut out = Vec::new();
            self.with_jetstream(&mut out, JetStream::handle_timeout);
            for message in out {
                self.publish(None, message);
            }
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.jetstream.due()
    }

    /// Returns the connections that have something to be taken.
    pub(crate) fn take_woken(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.woken)
    }

    /// Takes what there is for a client; `None` when its connection has ended.
    pub(crate) fn take_output(&mut self, id: u64) -> Option<Output> {
        let connection = self.connections.get_mut(&id)?;
        let output = Output {
            bytes: connection.out.split(),
            closing: connection.closing,
        };
        if output.closing {
            self.connections.remove(&id);
        }
        Some(output)
    }

    /// Says whether a connection is there.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.connections.contains_key(&id)
    }

    /// Forgets a connection whose client is gone.
    pub(crate) fn disconnect(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    /// Returns the connections of a user.
    pub(crate) fn connections_of(&self, user: &str) -> Vec<u64> {
        let of_user =
            |(id, connection): (&u64, &Connection)| (connection.user == user).then_some(*id);
        self.connections.iter().filter_map(of_user).collect()
    }

    /// Ends as a server that is killed: without a word, and what is not on disk is lost.
    pub(crate) fn kill(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.connections.clear();
        self.jetstream.restart(self.now);
    }

    pub(crate) fn counters(&self) -> Counters {
        let connections = self.connections.values();
        Counters {
            connections: self.connections.len() as u64,
            subscriptions: connections.map(|c| c.subscriptions.len() as u64).sum(),
            ..self.counters
        }
    }

    pub(crate) fn stream(&self, name: &str) -> Option<StreamState> {
        self.jetstream.state(name)
    }

    pub(crate) fn stored<'a>(
        &'a self,
        stream: &'a str,
        pattern: &'a Pattern,
    ) -> impl Iterator<Item = (u64, &'a Subject, &'a [u8])> {
        self.jetstream.messages(stream, pattern)
    }
}
