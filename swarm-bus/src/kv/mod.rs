//! Typed state: the last value of each key, kept by a stream, and watched.
//!
//! A bucket is a family of keys with one type of value: a [`Topic`](crate::Topic) whose template
//! begins with `$KV.<bucket>`. A key is a value of that type, so what stands in it cannot widen it;
//! filters, codecs, schema versions and rules of permission are those of topics.
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
//! use swarm_bus::{Token, Topic};
//!
//! #[derive(Debug, serde::Serialize, serde::Deserialize)]
//! struct Load { percent: u8 }
//!
//! #[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
//! #[topic("$KV.load.{node}.{core}", payload = Load, delivery = stored)]
//! struct LoadOf { node: Token, core: u16 }
//!
//! // Every edge writes its own keys and reads all of them.
//! let policy = Policy::new()
//!     .with(Rule::new::<LoadOf>(Role::Edge, Right::WriteState, Scope::Own))
//!     .with(Rule::new::<LoadOf>(Role::Edge, Right::ReadState, Scope::All));
//! let attic = policy.permissions(&Token::from_static("attic"), &[Role::Edge]);
//! assert!(attic.publish_allow.contains(&"$KV.load.attic.*".to_owned()));
//!
//! # #[cfg(feature = "client")]
//! async fn follow(client: &swarm_bus::client::Client) -> Result<(), swarm_bus::kv::KvError> {
//!     use swarm_bus::kv::Update;
//!     let bucket = client.bucket::<LoadOf>().await?;
//!     let mut watch = bucket.watch(LoadOf::any()).await?;
//!     loop {
//!         match watch.next().await? {
//!             Update::Entry(entry) => println!("{:?}: {:?}", entry.key, entry.content),
//!             Update::Current => println!("that is the present state; changes follow"),
//!             other => println!("{other:?}"),
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! # What is promised
//! - **It is the bucket of ADR-8**: `nats kv` and the other clients read and write it, and this
//!   crate reads and writes theirs. <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md>
//! - **A write is stored when it returns**, once, also where its confirmation was lost on the way:
//!   it is repeated under the same id, by which the stream knows it.
//! - **A watch loses nothing silently.** Its place is a revision, and it reads the stream itself; a
//!   subscription only tells it when to look. After any loss of the connection it goes on behind the
//!   last revision that it gave out. What the bucket no longer holds it says in its place:
//!   [`Update::Missed`], [`Update::Vanished`], [`Update::Restarted`].
//! - **Reading needs no right to define consumers.** Other clients read with a consumer that they
//!   make, and whoever may make one may have the server send stored messages to any subject, past
//!   all permissions. Here messages are asked for one by one, several questions at a time. The price
//!   is a question for each message.
//!
//! # What permissions cannot do
//! - A reader reads the whole bucket: JetStream's request for the message of a revision bears the
//!   subject in its body, where permissions do not look. A bucket is what is confided together.
//! - Who may write one key can remove the others, by a message that asks to replace *all* before
//!   it. Where writers do not trust each other, turn [`BucketConfig::allow_purge`] off.

mod any;
mod config;
mod name;

#[cfg(feature = "client")]
mod bucket;
#[cfg(feature = "client")]
mod entry;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod view;
#[cfg(feature = "client")]
mod watch;

pub use any::{AnyKey, ParseKeyError};
pub use config::BucketConfig;
pub use name::BucketNameError;

#[cfg(feature = "client")]
pub use bucket::Bucket;
#[cfg(feature = "client")]
pub use entry::{Content, Entry, Value};
#[cfg(feature = "client")]
pub use error::KvError;
#[cfg(feature = "client")]
pub use view::View;
#[cfg(feature = "client")]
pub use watch::{Update, Watch};

pub(crate) use name::{bucket_of, is_bucket_name};
