//! On a hub: the accounts of the rooms follow the roster.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use swarm_matrix::{Admin, Localpart, SharedSecret};
use swarm_pki::store::NodeStatus;
use swarm_pki::{NodeId, Timestamp};

use crate::error::Error;
use crate::secrets;

use super::rooms::{Open, endpoint, user};
use super::{Hub, Shared};

/// A pause before another attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// The homeserver's administrator: a name for which no login token is minted.
const ADMINISTRATOR: &str = "swarm-admin";

/// On a hub: locks the accounts of nodes that are revoked, and opens those of nodes that are trusted again.
pub(super) async fn keep(shared: &Shared, open: &Open) -> Infallible {
    let Some(hub) = &shared.hub else {
        return std::future::pending().await;
    };
    let mut cut = BTreeSet::new();
    let mut first = true;
    loop {
        match keep_once(shared, hub, open, &mut cut, first).await {
            Ok(()) => {
                first = false;
                shared.rooms.changed_roster().await;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the accounts cannot follow the roster yet"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn keep_once(
    shared: &Shared,
    hub: &Hub,
    open: &Open,
    cut: &mut BTreeSet<NodeId>,
    first: bool,
) -> Result<(), Error> {
    let trust = shared.member.tls().trust();
    let records = hub.authority.store().nodes(Timestamp::now())?;
    let revoked: BTreeSet<NodeId> = records
        .into_iter()
        .filter(|record| matches!(record.status, NodeStatus::Revoked(_)))
        .map(|record| record.certificate.id().clone())
        .collect();
    // a revoked certificate of a node that has a good one by now does not count
    let (back, gone): (BTreeSet<_>, BTreeSet<_>) =
        revoked.into_iter().partition(|id| trust.node(id).is_some());
    let unchanged = gone.is_subset(cut) && back.is_disjoint(cut);
    if unchanged && (!first || back.is_empty()) {
        return Ok(());
    }
    let admin = administrator(shared).await?;
    for id in gone.difference(&cut.clone()) {
        let account = user(id, shared.rooms.server());
        let done = admin.cut_off(&account).await?;
        tracing::info!(node = %id, devices = done.devices, "the account is cut off");
        // a ban is what others see: nobody but the node itself can write the node's own state
        for room in open.all() {
            open.session().ban(room, &account, "revoked").await?;
        }
        cut.insert(id.clone());
    }
    for id in &back {
        if first || cut.remove(id) {
            let account = user(id, shared.rooms.server());
            if admin.is_cut_off(&account).await? == Some(true) {
                admin.restore(&account).await?;
                for room in open.all() {
                    open.session().unban(room, &account).await?;
                }
            }
        }
    }
    Ok(())
}

async fn administrator(shared: &Shared) -> Result<Admin, Error> {
    let secret = secrets::read_line(
        shared
            .member
            .layout()
            .rendered()
            .matrix_registration_secret()
            .as_ref(),
    )?;
    let name = Localpart::parse(ADMINISTRATOR).expect("a valid name");
    Ok(Admin::connect(
        endpoint(shared)?,
        shared.rooms.server().clone(),
        name,
        SharedSecret::new(secret.as_str()),
    )
    .await?)
}
