//! Whom to trust.

use crate as swarm_bus;
use crate::{Raw, Topic};
use bytes::Bytes;

/// The trust bundle: `swarm.trust.bundle`.
///
/// The bytes prove themselves; the bus only carries them. The stream keeps the last one.
#[derive(Topic, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[topic(
    "swarm.trust.bundle",
    payload = Bytes,
    codec = Raw,
    delivery = stored,
    crate = swarm_bus
)]
pub struct TrustBundle;
