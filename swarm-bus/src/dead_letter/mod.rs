//! Dead letters: messages that a consumer could not use, kept, and replayed.
//!
//! ```text
//!  consumer gives up ──▶ advisory ──▶ DEAD_ADVISORIES ──▶ Keeper ──▶ DEAD_LETTERS
//!  (max_deliver, term)   by the server  (a work queue)    │  reads the original by its number,
//!                                                         │  stores the letter, acknowledges then
//!  original subject ◀────────── DeadLetters::replay ◀─────┘
//! ```
//!
//! A message that was delivered [`max_deliver`](crate::stream::ConsumerConfig::max_deliver) times,
//! or [terminated](crate::stream::Delivered::term), does not come again, and the server tells it
//! once, to whoever listens. So that none is lost while nobody does, a stream keeps these
//! advisories; a [`Keeper`] turns each into a letter that holds the message with its headers, and
//! says from which stream and consumer it comes, how often it was delivered, when and why it was
//! given up. [`DeadLetters`] lists them, replays and discards.
//!
//! # What is promised
//! - **Each once**: a letter is known by stream, sequence number and consumer. The advisory is
//!   acknowledged when the letter is stored; if it comes again, or another of the same message (a
//!   server that was killed may forget what it delivered and told), the letter is not doubled, and
//!   what it holds not replaced by less.
//! - **None without the other's word**: where the original is gone already (a work queue drops what
//!   is terminated), the letter says so. One that leaves no room for the letter's own headers is
//!   left where it is.
//! - **Nothing of a stranger**: only the server may publish advisories as long as no permission
//!   names `$JS.EVENT`; [`Policy`](crate::permissions::Policy) gives none. One whose body and
//!   subject disagree is refused.
//!
//! # Limits
//! Advisories take about 300 bytes each and 256 MiB in all; beyond that, about 800,000 later, the
//! oldest go. When the letters reach 1 GiB no more are taken, and the advisories wait. Both are
//! plain data to change: [`advisories_stream`], [`letters_stream`].
//!
//! A work queue keeps what was delivered too often. It stays there beside its letter until somebody
//! deletes it.
//!
//! <https://docs.nats.io/using-nats/developer/develop_jetstream/consumers#dead-letter-queues-type-functionality>

mod advisory;
#[cfg(any(feature = "client", test))]
mod headers;
mod letter;
mod streams;

#[cfg(feature = "client")]
mod fetch;
#[cfg(feature = "client")]
mod keeper;
#[cfg(feature = "client")]
mod shelf;

pub use advisory::{Advisories, Advisory};
pub use letter::{Cause, DeadLetter, DeadLetterError, DeadLetterTopic, Original, OriginalMessage};
pub(crate) use streams::keeper_subjects;
pub use streams::{
    ADVISORIES_STREAM, KEEPER, LETTERS_STREAM, advisories_stream, keeper_consumer, letters_stream,
};

#[cfg(all(feature = "client", feature = "testing"))]
pub(crate) use headers::{read as read_letter, replayed};
#[cfg(feature = "client")]
pub use keeper::{KeepError, Keeper, Kept};
#[cfg(feature = "client")]
pub use shelf::{DeadLetters, ReplayError};
