//! What is too large for a message.

use crate::Token;

/// The bucket of the mesh's objects: hubs and operators write it, every node reads it.
pub const FILES_BUCKET: Token = Token::from_static("swarm-files");

/// Returns the object store `swarm-files`: 512 MiB in all.
///
/// # Panics
/// Never: the name is one.
#[cfg(any(feature = "client", feature = "testing"))]
#[must_use]
pub fn files_store() -> crate::object::ObjectStoreConfig {
    let mut store = crate::object::ObjectStoreConfig::new(FILES_BUCKET)
        .expect("letters and a hyphen are a name of a bucket");
    store.max_bytes = Some(512 << 20);
    store
}
