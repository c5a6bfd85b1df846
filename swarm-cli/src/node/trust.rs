//! How a node comes to know what is trusted, and what it does with the news.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use swarm_bus::topics::TrustBundle as BundleTopic;
use swarm_pki::{NodeId, Role, Timestamp, TrustBundle};

use crate::error::Error;

use super::Shared;
use super::interface::{BUNDLE, ENDPOINTS};
use super::report::Report;

/// How often a hub looks whether its authority issued or revoked something, when nobody tells it.
const LOOK: Duration = Duration::from_millis(500);
/// How often a node asks one of its neighbours for news, and drops what has expired.
const ASK: Duration = Duration::from_secs(30);
/// How often a hub looks whether a revocation list should be made anew.
const REFRESH: Duration = Duration::from_secs(600);

/// Follows every change of trust: the tunnel at once, then the servers and the rooms of a hub, then the bus.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut generation = shared.member.tls().subscribe();
    loop {
        generation.mark_unchanged();
        shared.follow_roster();
        if let Some(hub) = &shared.hub {
            let trust = shared.member.tls().trust();
            if let Err(error) = hub
                .services
                .follow(&shared.member, &hub.authority, trust.roster())
            {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the servers cannot follow the roster"
                );
            }
            shared.rooms.roster_changed();
            publish(&shared).await;
        }
        if let Some(leaf) = &shared.leaf {
            leaf.follow(&shared.member);
        }
        if generation.changed().await.is_err() {
            return;
        }
    }
}

/// Publishes the bundle of the moment, so that every node that listens takes it over.
pub(super) async fn publish(shared: &Shared) {
    let bundle = match shared.member.tls().trust().to_bundle().to_der() {
        Ok(der) => Bytes::from(der),
        Err(error) => return tracing::error!(%error, "the trust bundle cannot be written"),
    };
    // a node that does not get it asks for it; that is no reason to stop here
    if let Err(error) = shared.bus.publish_stored(&BundleTopic, &bundle).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the trust bundle is not on the bus yet"
        );
    }
}

/// On a hub: takes over what the authority of this machine issues and revokes, whoever told it to.
pub(super) async fn follow_authority(shared: Arc<Shared>) {
    let Some(hub) = &shared.hub else { return };
    let store = hub.authority.store().clone();
    let mut seen = None;
    let mut refreshed: Option<tokio::time::Instant> = None;
    learn_what_was_lost(&shared, &store);
    loop {
        // at the start too: a hub that was off may have lists that are long overdue
        if refreshed.is_none_or(|at| at.elapsed() > REFRESH) {
            refreshed = Some(tokio::time::Instant::now());
            match store.refresh_crls(Timestamp::now()) {
                Ok(refresh) if refresh.root_due => {
                    tracing::warn!(
                        "the root's revocation list ends soon; sign a new one: swarm ca crl --root"
                    );
                }
                Ok(_) => {}
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot refresh revocation lists"
                ),
            }
        }
        match store.generation() {
            Ok(generation) if Some(generation) != seen => match take_over(&shared, &store) {
                Ok(()) => seen = Some(generation),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot follow the authority"
                ),
            },
            Ok(_) => {}
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot read the authority"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.refresh.notified() => {}
        }
    }
}

/// An authority that was restored from a backup learns from what this hub kept what it issued and revoked
/// since.
fn learn_what_was_lost(shared: &Shared, store: &swarm_pki::store::Store) {
    let kept = shared.member.tls().trust().to_bundle();
    match store.adopt(&kept, Timestamp::now()) {
        Ok(adoption) if adoption.revocations + adoption.certificates > 0 => tracing::warn!(
            revocations = adoption.revocations,
            certificates = adoption.certificates,
            "the authority did not know what this hub knows: it comes from a backup"
        ),
        Ok(_) => {}
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the authority cannot learn from this hub's trust"
        ),
    }
}

fn take_over(shared: &Shared, store: &swarm_pki::store::Store) -> Result<(), Error> {
    let bundle = store.bundle(Timestamp::now())?;
    shared.member.take_over(&bundle).map(drop)
}

/// Takes over a bundle that somebody carried here; what is wrong in it is refused part by part.
pub(super) fn receive(shared: &Shared, der: &[u8], from: &str) {
    let result = TrustBundle::from_der(der)
        .map_err(|error| Error::Refused {
            by: from.to_owned(),
            reason: error.to_string(),
        })
        .and_then(|bundle| shared.member.take_over(&bundle));
    match result {
        Ok(changes) if changes.is_empty() => {}
        Ok(changes) => tracing::info!(
            from,
            added = changes.added.len(),
            changed = changes.changed.len(),
            removed = changes.removed.len(),
            "trust changed"
        ),
        Err(error) => tracing::warn!(
            from,
            error = &error as &dyn std::error::Error,
            "a trust bundle is not taken over"
        ),
    }
}

/// Asks hubs first, then any neighbour, for what is new; so that news travel without a bus, and without a
/// hub.
pub(super) async fn ask_neighbours(shared: Arc<Shared>) {
    let mut states = shared.bus.states();
    let mut report = Report::default();
    loop {
        report.bring(&shared).await;
        if let Err(error) = shared.member.expire() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot drop what has expired"
            );
        }
        for node in neighbours(&shared) {
            match ask(&shared, &node).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%node, error = &error as &dyn std::error::Error, "a neighbour has no news");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ASK) => {}
            // after an outage there is something to catch up on
            _ = states.changed() => {}
            // an authority that rolls over waits for what this node has to report
            () = report.is_outdated(&shared) => {}
        }
    }
}

/// The other nodes with a live tunnel, hubs first.
fn neighbours(shared: &Shared) -> Vec<NodeId> {
    let trust = shared.member.tls().trust();
    let (mut hubs, others): (Vec<_>, Vec<_>) =
        shared.seen_endpoints().into_keys().partition(|id| {
            trust
                .node(id)
                .is_some_and(|node| node.identity().has_role(Role::HUB))
        });
    hubs.extend(others);
    hubs
}

async fn ask(shared: &Shared, node: &NodeId) -> Result<(), Error> {
    let bundle = shared
        .member
        .request(node, Method::GET, BUNDLE, Bytes::new())
        .await?;
    receive(shared, &bundle, node.as_str());
    let seen = shared
        .member
        .request(node, Method::GET, ENDPOINTS, Bytes::new())
        .await?;
    let seen: std::collections::BTreeMap<NodeId, std::net::SocketAddr> =
        serde_json::from_slice(&seen).map_err(|error| Error::Refused {
            by: node.to_string(),
            reason: error.to_string(),
        })?;
    for (id, endpoint) in seen {
        shared.suggest(&id, endpoint);
    }
    Ok(())
}
