//! What happens to a node, told to the others: on disk first, and stored by the bus when it is there.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use swarm_bus::client::Client;
use swarm_bus::spool::{Drain, DrainOptions, Limits, LossReason, Spool, Spooled, Statistics};
use swarm_bus::topics::{self, EVENTS_STREAM, NodeEvent, NodeEvents, Occurrence};
use swarm_bus::{Headers, Topic as _};

use crate::error::Error;
use crate::member::Member;
use crate::status::SpoolStatus;
use crate::wire;

/// How much the spool takes on disk; what is older than the stream keeps it gives way by itself.
const MAX_BYTES: u64 = 64 << 20;
/// How much goes at once when the oldest gives way.
const SEGMENT_BYTES: u64 = 4 << 20;
/// How fast a node catches up after an outage: a hub has many nodes that come back at a time.
const PER_SECOND: u32 = 2_000;
/// How long the last events have to get away when the node stops; what does not, goes at the next start.
const FAREWELL: Duration = Duration::from_secs(1);

/// The events of this node.
pub(crate) struct Events {
    topic: NodeEvents,
    spool: Spool,
    drain: Mutex<Option<Drain>>,
}

impl Events {
    /// Opens the spool in the node's directory, and begins to feed the bus from it.
    pub(super) fn open(member: &Member, bus: &Client) -> Result<Self, Error> {
        let mut limits = Limits::default();
        limits.max_bytes = MAX_BYTES;
        limits.segment_bytes = SEGMENT_BYTES;
        limits.pending_bytes = 2 << 20;
        let directory = member.node_layout().spool();
        let spool = Spool::open(&directory, limits).map_err(|source| Error::Spool {
            path: directory,
            source,
        })?;
        let recovery = spool.recovery();
        tracing::info!(
            waiting = recovery.waiting,
            lost = recovery.lost,
            "events wait for the bus"
        );
        let mut options = DrainOptions::default();
        options.per_second = PER_SECOND;
        // a node may not ask which stream keeps a subject
        let stream = match member.is_leaf() {
            true => topics::leaf_stream(&wire::token(member.id())),
            false => EVENTS_STREAM,
        };
        options.streams = vec![(NodeEvents::any().pattern().clone(), stream)];
        let drain = spool
            .drain(bus.clone(), options)
            .expect("a spool that was just opened is drained by nobody");
        Ok(Self {
            topic: NodeEvents {
                node: wire::token(member.id()),
            },
            spool,
            drain: Mutex::new(Some(drain)),
        })
    }

    /// Tells what happens now. What the disk does not take is said in the log.
    pub(super) async fn tell(&self, event: Occurrence) {
        let event = NodeEvent {
            at: SystemTime::now().into(),
            event,
        };
        if let Err(error) = self.put(&event).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an event of this node is told to nobody"
            );
        }
    }

    /// Puts an event on disk.
    pub(super) async fn put(&self, event: &NodeEvent) -> Result<Spooled, Error> {
        // whoever receives it would refuse it
        self.topic
            .verify(event, &Headers::new())
            .map_err(|error| Error::Refused {
                by: "the node".to_owned(),
                reason: error.to_string(),
            })?;
        Ok(self.spool.put(&self.topic, event).await?)
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.spool.statistics()
    }

    pub(super) fn status(&self) -> SpoolStatus {
        let counted = self.statistics();
        let dropped = LossReason::ALL.map(|reason| counted.dropped(reason));
        SpoolStatus {
            put: counted.put,
            refused: counted.refused,
            stored: counted.drained,
            waiting: counted.waiting,
            waiting_bytes: counted.bytes,
            oldest_seconds: counted.oldest.as_secs(),
            dropped: dropped.iter().sum(),
            held: counted.held,
        }
    }

    /// Ends it: what the bus does not take in time stays on disk.
    pub(super) async fn close(&self, is_connected: bool) {
        if is_connected {
            self.spool.emptied(FAREWELL).await;
        }
        let drain = self
            .drain
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(drain) = drain {
            drain.stop(FAREWELL).await;
        }
        self.spool.clone().close().await;
    }
}
