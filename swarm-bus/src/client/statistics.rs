//! What was counted.

use crate::{Metric, MetricKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of a client, across all its connections.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) undecodable: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) duplicates: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Relaxed);
}

/// What a client counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages received.
    pub messages_in: u64,
    /// Messages taken for sending.
    pub messages_out: u64,
    /// Bytes read from the connection, inside TLS.
    pub bytes_in: u64,
    /// Bytes written to the connection, inside TLS.
    pub bytes_out: u64,
    /// Whether there is a connection now.
    pub connected: bool,
    /// Connections made after the first, other than by `reload`.
    pub reconnects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Connections replaced by `reload`.
    pub reloads: u64,
    /// Received messages dropped because their subscription was full.
    pub missed: u64,
    /// Publications and subscriptions that the server did not permit.
    pub denied: u64,
    /// Received messages that could not be read.
    pub undecodable: u64,
    /// Messages that a server gave to a [`Consumer`](crate::stream::Consumer) though its filter does
    /// not let them through, and that were given back.
    pub foreign: u64,
    /// Publications not taken: queue full, disconnected, too large.
    pub rejected: u64,
    /// Messages dropped that waited for a connection.
    pub dropped: u64,
    /// Copies dropped while one connection replaced another.
    pub duplicates: u64,
    /// Bytes that wait to be sent now.
    pub pending_bytes: u64,
    /// Subscriptions held now.
    pub subscriptions: u64,
    /// Requests that wait for answers now, on the present connection.
    pub awaited: u64,
    /// Messages that wait for a connection now.
    pub backlog: u64,
}

impl Counters {
    pub(crate) fn snapshot(
        &self,
        connected: bool,
        pending: usize,
        subscriptions: usize,
        awaited: usize,
        backlog: usize,
    ) -> Statistics {
        Statistics {
            messages_in: self.messages_in.load(Relaxed),
            messages_out: self.messages_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            connected,
            reconnects: self.connects.load(Relaxed).saturating_sub(1),
            connect_failures: self.failures.load(Relaxed),
            reloads: self.reloads.load(Relaxed),
            missed: self.missed.load(Relaxed),
            denied: self.denied.load(Relaxed),
            undecodable: self.undecodable.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            pending_bytes: pending as u64,
            subscriptions: subscriptions as u64,
            awaited: awaited as u64,
            backlog: backlog as u64,
        }
    }
}

impl Statistics {
    /// Returns the figures as `nats_client_*`.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        use MetricKind::{Counter, Gauge};
        let figure = |kind, name, help, value: u64| Metric::new(kind, name, help, value);
        vec![
            figure(
                Counter,
                "nats_client_messages_in_total",
                "Messages received.",
                self.messages_in,
            ),
            figure(
                Counter,
                "nats_client_messages_out_total",
                "Messages taken for sending.",
                self.messages_out,
            ),
            figure(
                Counter,
                "nats_client_bytes_in_total",
                "Bytes read, inside TLS.",
                self.bytes_in,
            ),
            figure(
                Counter,
                "nats_client_bytes_out_total",
                "Bytes written, inside TLS.",
                self.bytes_out,
            ),
            figure(
                Gauge,
                "nats_client_connected",
                "Whether there is a connection.",
                u64::from(self.connected),
            ),
            figure(
                Counter,
                "nats_client_reconnects_total",
                "Connections made after the first.",
                self.reconnects,
            ),
            figure(
                Counter,
                "nats_client_connect_failures_total",
                "Failed attempts to connect.",
                self.connect_failures,
            ),
            figure(
                Counter,
                "nats_client_reloads_total",
                "Connections replaced for a new certificate.",
                self.reloads,
            ),
            figure(
                Counter,
                "nats_client_missed_total",
                "Received messages dropped because a subscription was full.",
                self.missed,
            ),
            figure(
                Counter,
                "nats_client_denied_total",
                "Publications and subscriptions not permitted.",
                self.denied,
            ),
            figure(
                Counter,
                "nats_client_undecodable_total",
                "Received messages that could not be read.",
                self.undecodable,
            ),
            figure(
                Counter,
                "nats_client_foreign_total",
                "Messages given back because the consumer's filter does not let them through.",
                self.foreign,
            ),
            figure(
                Counter,
                "nats_client_rejected_total",
                "Publications not taken.",
                self.rejected,
            ),
            figure(
                Counter,
                "nats_client_dropped_total",
                "Messages dropped that waited for a connection.",
                self.dropped,
            ),
            figure(
                Gauge,
                "nats_client_backlog",
                "Messages that wait for a connection.",
                self.backlog,
            ),
            figure(
                Counter,
                "nats_client_duplicates_total",
                "Copies dropped while a connection was replaced.",
                self.duplicates,
            ),
            figure(
                Gauge,
                "nats_client_pending_bytes",
                "Bytes that wait to be sent.",
                self.pending_bytes,
            ),
            figure(
                Gauge,
                "nats_client_subscriptions",
                "Subscriptions held.",
                self.subscriptions,
            ),
            figure(
                Gauge,
                "nats_client_awaited_requests",
                "Requests that wait for answers.",
                self.awaited,
            ),
        ]
    }
}
