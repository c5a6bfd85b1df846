//! The server with its connections: bytes move by themselves, and time passes.

use super::core::{Core, Counters, Limits, StreamState};
use crate::client::{Options, wall_clock};
use crate::permissions::Permissions;
use crate::{Pattern, Subject, Token};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How many bytes lie between client and server, as in a socket's buffers.
const BUFFER: usize = 64 << 10;

/// A NATS server in the process, and the means to make it fail. Clones are the same server.
///
/// It needs a Tokio runtime where clients connect, and none before.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// When the core wants to be asked, for whichever connection is awake.
    due: watch::Sender<Option<Instant>>,
    silent: watch::Sender<bool>,
}

struct State {
    core: Core,
    clock: Clock,
    peers: HashMap<u64, Arc<Peer>>,
    running: bool,
    refusing: bool,
}

/// From Tokio's clock to the core's.
struct Clock {
    start: Instant,
    since_1970: Duration,
}

/// How the core reaches the task of a connection.
#[derive(Default)]
struct Peer {
    wake: Notify,
    cut: Notify,
}

/// A message as a stream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its number in the stream.
    pub sequence: u64,
    /// What it was published to.
    pub subject: Subject,
    /// Its payload, without the headers.
    pub payload: Bytes,
}

impl Clock {
    fn now(&self) -> Duration {
        self.since_1970 + self.start.elapsed()
    }

    fn instant(&self, at: Duration) -> Instant {
        let after = at.saturating_sub(self.since_1970);
        // What is too far away for the clock is beyond every test.
        self.start
            .checked_add(after)
            .unwrap_or(self.start + Duration::from_secs(1 << 32))
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Makes a server that knows nobody yet, with the limits of nats-server.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// Makes a server that knows nobody yet.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let since_1970 = wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                core: Core::new(limits),
                clock: Clock {
                    start: Instant::now(),
                    since_1970: since_1970.unwrap_or_default(),
                },
                peers: HashMap::new(),
                running: true,
                refusing: false,
            }),
            due: watch::Sender::new(None),
            silent: watch::Sender::new(false),
        }))
    }

    /// Makes a node known with what it may do, and returns how its client connects.
    #[must_use]
    pub fn options(&self, node: Token, permissions: Permissions) -> Options {
        self.admit(&node, permissions);
        let connector = Connector {
            server: self.clone(),
            node: node.clone(),
        };
        Options::in_process(node, Arc::new(connector))
    }

    /// Makes a node known, or changes what it may do. Of live connections the subscriptions end
    /// that are not allowed any more, and their clients are told.
    pub fn admit(&self, node: &Token, permissions: Permissions) {
        self.0
            .with(|state| state.core.admit(node.as_str(), permissions));
    }

    /// Forgets a node: its connections end, and it is turned away from now on.
    pub fn revoke(&self, node: &Token) {
        self.0.with(|state| state.core.revoke(node.as_str()));
    }

    /// Opens a connection in bytes, for clients other than this crate's. The user is `node`,
    /// whatever the client says of itself.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) while the server is down or refuses.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect(&self, node: &Token) -> io::Result<DuplexStream> {
        let peer = Arc::new(Peer::default());
        let id = self.0.with(|state| {
            if !state.running || state.refusing {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let id = state.core.handle_connect(node.as_str(), state.clock.now());
            state.peers.insert(id, Arc::clone(&peer));
            Ok(id)
        })?;
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(serve(Arc::clone(&self.0), id, peer, ours));
        Ok(theirs)
    }

    /// Cuts the connections of a node without a word, as a broken line does. Returns how many.
    pub fn cut(&self, node: &Token) -> usize {
        self.0.with(|state| {
            let cut = state.core.connections_of(node.as_str());
            for id in &cut {
                state.core.disconnect(*id);
                state.cut(*id);
            }
            cut.len()
        })
    }

    /// Refuses new connections, or takes them again. Those that are there stay.
    pub fn refuse(&self, refuse: bool) {
        self.0.with(|state| state.refusing = refuse);
    }

    /// Lets the server fall silent, or speak again: it neither reads nor writes, as behind a line
    /// that is dead without anybody having said so. New connections are not greeted.
    pub fn silence(&self, silent: bool) {
        self.0.silent.send_replace(silent);
    }

    /// Ends the server as `kill -9` does: every connection is cut, requests that wait and what is
    /// in memory are lost, what is on disk stays for [`start`](Self::start).
    pub fn kill(&self) {
        self.0.with(|state| {
            state.running = false;
            state.core.kill(state.clock.now());
            for (_, peer) in state.peers.drain() {
                peer.cut.notify_one();
            }
        });
    }

    /// Starts the server again after [`kill`](Self::kill).
    pub fn start(&self) {
        self.0.with(|state| state.running = true);
    }

    /// Moves the server's clock ahead: acknowledgements, ages and duplicate windows run out. Under
    /// Tokio's paused clock, `tokio::time::advance` does it for clients too.
    pub fn advance(&self, by: Duration) {
        self.0.with(|state| {
            state.clock.since_1970 = state.clock.since_1970.saturating_add(by);
            state.core.handle_timeout(state.clock.now());
        });
    }

    /// Returns what was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.with(|state| state.core.counters())
    }

    /// Returns how a stream stands; `None` when there is none.
    #[must_use]
    pub fn stream(&self, name: &Token) -> Option<StreamState> {
        self.0.with(|state| {
            state.core.handle_timeout(state.clock.now());
            state.core.stream(name.as_str())
        })
    }

    /// Returns what a stream holds of a pattern's subjects, in order; of a stream that does not
    /// exist, nothing.
    #[must_use]
    pub fn stored(&self, stream: &Token, pattern: &Pattern) -> Vec<StoredMessage> {
        self.0.with(|state| {
            state.core.handle_timeout(state.clock.now());
            let stored = state.core.stored(stream.as_str(), pattern);
            stored
                .map(|(sequence, subject, payload)| StoredMessage {
                    sequence,
                    subject: subject.clone(),
                    payload: Bytes::copy_from_slice(payload),
                })
                .collect()
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.counters();
        f.debug_struct("Server")
            .field("counters", &counters)
            .finish_non_exhaustive()
    }
}

/// Where a client's connections come from.
struct Connector {
    server: Server,
    node: Token,
}

impl crate::client::Connector for Connector {
    fn connect(&self) -> io::Result<DuplexStream> {
        self.server.connect(&self.node)
    }
}

impl State {
    fn cut(&mut self, id: u64) {
        if let Some(peer) = self.peers.remove(&id) {
            peer.cut.notify_one();
        }
    }
}

impl Inner {
    /// Does something with the core, then wakes whom it concerns.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut state);
        for id in state.core.take_woken() {
            match state.core.has(id) {
                true => {
                    if let Some(peer) = state.peers.get(&id) {
                        peer.wake.notify_one();
                    }
                }
                false => state.cut(id),
            }
        }
        let due = state.core.due().map(|at| state.clock.instant(at));
        self.due
            .send_if_modified(|present| std::mem::replace(present, due) != due);
        result
    }
}

impl Inner {
    /// Waits while the server is silent.
    async fn while_silent(&self) {
        let mut silent = self.silent.subscribe();
        let _ = silent.wait_for(|silent| !silent).await;
    }
}

/// Runs one connection to its end.
async fn serve(inner: Arc<Inner>, id: u64, peer: Arc<Peer>, stream: DuplexStream) {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        () = read(&inner, id, reader) => {}
        () = write(&inner, id, &peer, writer) => {}
        () = keep_time(&inner) => {}
        () = peer.cut.notified() => {}
    }
    inner.with(|state| {
        state.core.disconnect(id);
        state.peers.remove(&id);
    });
}

async fn read(inner: &Inner, id: u64, mut from: ReadHalf<DuplexStream>) {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        inner.while_silent().await;
        inner.with(|state| state.core.handle_bytes(id, &buffer, state.clock.now()));
        buffer.clear();
        // Others may be waiting for what this one published.
        tokio::task::yield_now().await;
    }
}

async fn write(inner: &Inner, id: u64, peer: &Peer, mut to: WriteHalf<DuplexStream>) {
    loop {
        inner.while_silent().await;
        let Some(output) = inner.with(|state| state.core.take_output(id)) else {
            return;
        };
        if output.bytes.is_empty() && !output.closing {
            peer.wake.notified().await;
            continue;
        }
        if to.write_all(&output.bytes).await.is_err() || output.closing {
            return;
        }
    }
}

/// Tells the core when something is due.
async fn keep_time(inner: &Inner) {
    let mut due = inner.due.subscribe();
    loop {
        let at = *due.borrow_and_update();
        let passed = async {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = passed => inner.with(|state| state.core.handle_timeout(state.clock.now())),
            changed = due.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
