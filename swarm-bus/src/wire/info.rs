//! What a server says of itself at the start.

use serde::Deserialize;

/// The fields of `INFO` that are used. The list of other servers is not among them: a client goes
/// only where it was told to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    pub(crate) server_id: String,
    pub(crate) server_name: String,
    pub(crate) version: String,
    pub(crate) max_payload: u64,
    pub(crate) tls_required: bool,
    pub(crate) tls_available: bool,
    pub(crate) jetstream: bool,
}
