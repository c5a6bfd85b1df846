//! Objects of any size, kept by a stream in chunks.
//!
//! ```
//! # #[cfg(feature = "client")]
//! # async fn example(client: &swarm_bus::client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use swarm_bus::object::{ObjectName, ObjectStoreConfig};
//! use swarm_bus::Token;
//!
//! let bucket = Token::from_static("images");
//! client.ensure_object_store(&ObjectStoreConfig::new(bucket.clone())?).await?;
//! let store = client.object_store(&bucket).await?;
//! let name = ObjectName::parse("boot/kernel")?;
//!
//! let kernel: &[u8] = b"any AsyncRead";
//! let info = store.put(&name, kernel).await?;
//! println!("{} bytes, SHA-256 {}", info.size, info.digest);
//!
//! let mut copy = Vec::new(); // any AsyncWrite
//! let mut download = store
//!     .download(&name)
//!     .on_progress(|progress| println!("{} of {}", progress.bytes, progress.total));
//! download.receive(&mut copy).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - **It is the bucket of ADR-20**: `nats object` and the other clients read and write it, and this
//!   crate reads and writes theirs. <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-20.md>
//!   Links are [made](ObjectStore::link) and [followed](ObjectStore::resolve), a bounded number of
//!   them; the headers of an object are passed over.
//! - **Memory is bounded**: a window of chunks, 1 MiB on the way in, 2 MiB on the way out, whatever
//!   a description claims.
//! - **Success means the digest is right**: an object that is there has all its chunks; one that was
//!   received is what was put, or [`ObjectError::WrongDigest`] says so after the last byte.
//! - **A lost connection only costs time.** Within [`patience`](Upload::patience) both ways go on by
//!   themselves. After that, or in another process, an upload is resumed by its [`UploadId`] and a
//!   download by its [`Checkpoint`]; what is there is not sent again, and is held against what it
//!   should be.
//! - **Nothing is left behind**: what a name stood for before is removed when the new object is
//!   there, and [`ObjectStore::put`] removes what it could not finish. What a crash or a dropped future
//!   leaves,
//!   [`ObjectStore::sweep`] finds.
//!
//! Reading needs no right to define consumers, as with [buckets](crate::kv).

mod config;
mod info;
mod link;
mod mark;
mod name;

#[cfg(feature = "client")]
mod download;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod follow;
#[cfg(feature = "client")]
mod store;
#[cfg(feature = "client")]
mod sweep;
#[cfg(feature = "client")]
mod upload;
#[cfg(feature = "client")]
mod watch;

pub use crate::kv::BucketNameError;
pub use config::ObjectStoreConfig;
pub use info::{Digest, ObjectInfo, ParseInfoError};
pub use link::{Link, LinkTarget};
pub use name::{ObjectName, ParseNameError, ParseUploadIdError, UploadId};

#[cfg(feature = "client")]
pub use download::{Checkpoint, Download, Received};
#[cfg(feature = "client")]
pub use error::ObjectError;
#[cfg(feature = "client")]
pub use store::{Listed, ObjectStore};
#[cfg(feature = "client")]
pub use sweep::Swept;
#[cfg(feature = "client")]
pub use upload::{Sent, Upload};
#[cfg(feature = "client")]
pub use watch::{ObjectUpdate, ObjectWatch};

#[cfg(feature = "testing")]
pub(crate) use info::{Described, deleted_json};
#[cfg(feature = "testing")]
pub(crate) use mark::Mark;
