//! Store-and-forward: messages wait on disk until a stream has them.
//!
//! ```text
//!   put, submit                                        Client ──▶ stream
//!        │                                                ▲
//!        ▼                                                │ window: what is on its way, by subject
//!   queue ──▶ writer: one thread, one fdatasync      drain: one task
//!        for all that wait                                ▲
//!                 │                                       │ reader: a segment at a time
//!                 ▼                                       │
//!        ┌────────────────── directory ───────────────────┴──┐
//!        │ 0000….seg  0000….seg   records with CRC32C        │   ledger: which numbers wait
//!        │ cursor                 how far it was drained     │
//!        │ lock                   one process                │
//!        └───────────────────────────────────────────────────┘
//! ```
//!
//! # What is promised
//! - **What was put is there.** [`Spool::put`] returns when the disk confirmed the message: it
//!   outlives a crash, a kill and a loss of power. A torn end is cut off and told, a damage is read
//!   around and told ([`Recovery`]).
//! - **Bounded** by bytes and by age ([`Limits`]); what gives way is counted and told by subject
//!   ([`Spool::losses`]).
//! - **In order** of each subject, and **once** in the stream, by the arguments below. A message's
//!   id is that of its spool and its number, so that every copy of it bears the same, whichever
//!   process sends it; no number is used twice, also after a damage.
//!
//! # Order
//! All messages of a subject that are on their way go by one connection, in order; a server hands
//! them to the stream as they come. Over a new connection a subject's first message goes alone, and
//! the others follow when the stream took it. After anything but an acknowledgement nothing more of
//! the subject is sent until all that is on its way was answered; then the one that failed goes
//! first, alone. [`Client::reload`](crate::client::Client::reload) keeps the order as well.
//!
//! [`Order::Pipelined`] can thus be broken by one thing alone: a stream that refuses a message and
//! takes a later one which was on its way already, as one that is full and
//! [discards the new](crate::stream::Discard::New) may, or one of several replicas that changes its
//! leader at that moment. That is counted ([`Statistics::reordered`]). [`Order::Strict`] excludes it,
//! for a round trip a message; take it where a stream may do that.
//!
//! More than one message of a subject cannot be on its way strictly, though JetStream refuses a
//! message that expects another to be the last one. Servers from 2.9 on offer three such headers,
//! and each fails somewhere (seen with 2.9.10 and 2.15.1):
//! - `Nats-Expected-Last-Msg-Id` speaks of the whole stream. A message of any other subject between
//!   two of ours has the second refused, and all that are on their way behind it.
//! - `Nats-Expected-Last-Subject-Sequence` and `Nats-Expected-Last-Sequence` want numbers that are
//!   known only when the message before was stored. Foretold ones do not tell who wrote the last
//!   message: if another publisher takes the number that ours was to have, ours is refused, and the
//!   one behind it, which expects just that number, is stored.
//! - They are stored with the message, and nats-server 2.9.10 holds a stream that takes over others
//!   (a hub's, from its leaf nodes) to them: of the 47 messages of two sources, 22 of which bore
//!   one, it took 28, and said nothing of the rest.
//!
//! # Once
//! A message is *in doubt* when it was sent and no acknowledgement came: the connection broke, or
//! the process ended. A stream knows ids again for its duplicate window only, so:
//! 1. Within three quarters of the window, counted from when it was first sent, by the clock that
//!    says more of a steady one and the wall clock (a suspended machine's steady clock stands still):
//!    it is sent again. The stream has had it for less than that, and knows it.
//! 2. After that, and after a start of the process for all that may have been sent before: the
//!    stream is asked for the last message of the subject. The stream took the subject's messages in
//!    order, so if that one is of this spool, the stream has all up to its number, and none beyond.
//!    (Where the order can be broken, this can be wrong: one more reason for [`Order::Strict`].)
//!    If there is none, it has none that still matters.
//! 3. Where it cannot be asked (this user may not, or three questions in a row stay without an
//!    answer), or the last message is somebody else's: what was put within three quarters of the
//!    window, by the wall clock, is sent again as in 1. Everything else is held
//!    ([`Unsettled::Hold`], [`Statistics::held`]), until it can be known or grows too old; or sent,
//!    if that is preferred.
//!
//! Before a number is sent, the cursor on disk says that it may have been; a spool that was filled
//! during an outage and never sent anything is not in doubt, however often its process started. A
//! drain that [stopped](Drain::stop) with nothing on its way leaves no doubt either.
//!
//! So for "once" beyond the window it takes: one publisher for each subject; a stream that keeps the
//! last message of each subject for as long as an outage lasts (not a work queue, whose messages go
//! when they were worked on); and the right to ask: `$JS.API.STREAM.MSG.GET.<stream>`, or
//! [`Right::ReadLast`](crate::permissions::Right::ReadLast) and
//! [`StreamConfig::direct_get`](crate::stream::StreamConfig::direct_get). What remains is a copy
//! that the network delivers by a connection which was given up, later than the window after the
//! same message was sent again: no TCP keeps trying for two minutes.
//!
//! # Example
//! ```no_run
//! # #[cfg(feature = "derive")] {
//! use swarm_bus::client::Client;
//! use swarm_bus::spool::{DrainOptions, Limits, Spool};
//! use swarm_bus::{Token, Topic};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Reading { celsius: f64 }
//!
//! #[derive(Topic)]
//! #[topic("lab.{room}.temperature", payload = Reading, delivery = stored, offline = spool)]
//! struct Temperature { room: Token }
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let spool = Spool::open("/var/lib/lab/spool", Limits::default())?;
//! let drain = spool.drain(client, DrainOptions::default())?;
//! let attic = Temperature { room: Token::from_static("attic") };
//! spool.put(&attic, &Reading { celsius: 21.5 }).await?; // on disk, connected or not
//! drain.stop(std::time::Duration::from_secs(5)).await;
//! spool.close().await;
//! # Ok(())
//! # }
//! # }
//! ```

mod answers;
mod clock;
mod cursor;
mod drain;
mod error;
#[cfg(test)]
mod faults;
mod files;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod handle;
mod journal;
mod ledger;
mod limits;
mod loss;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod options;
mod pump;
mod rate;
mod reader;
mod record;
mod recovery;
mod segment;
mod settle;
mod statistics;
mod window;
mod writer;

pub use clock::Clock;
pub use drain::Drain;
pub use error::{DrainError, OpenError, PutError};
pub use handle::{Spool, Spooled, Submitted};
pub use limits::{Full, Limits};
pub use loss::{Loss, LossReason, Losses};
pub use options::{DrainOptions, Order, Unsettled};
pub use recovery::{Damage, Recovery};
pub use statistics::Statistics;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Locks what no panic leaves half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the time by a clock that only goes forward.
#[allow(clippy::disallowed_methods, reason = "the shell's clock")]
fn now_steady() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
