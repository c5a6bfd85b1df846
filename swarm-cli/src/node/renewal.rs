//! A certificate renewed before it ends, and the bus moved over to it without a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_pki::enroll::{Client, RenewalSchedule};
use swarm_pki::tls::Expected;
use swarm_pki::{Role, Timestamp};

use crate::control::Renewed;
use crate::error::Error;
use crate::identity::Identity;
use crate::secrets;

use super::Shared;

/// How often it is looked whether a renewal is due.
const LOOK: Duration = Duration::from_secs(60);
/// How long each address of an authority may take, so that the next is tried while somebody waits.
const PATIENCE: Duration = Duration::from_secs(4);

/// Renews when it is due, and after a failure again as the time that is left allows.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        let schedule = RenewalSchedule::of(&shared.member.certificate());
        let now = Timestamp::now();
        let pause = if now < schedule.due() {
            LOOK
        } else if let Err(error) = renew(&shared).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the certificate is not renewed yet"
            );
            failures += 1;
            schedule.pause(now, failures)
        } else {
            failures = 0;
            LOOK
        };
        tokio::time::sleep(pause).await;
    }
}

/// Asks the authority for a certificate with a new key, presents it, and moves the bus over to it.
pub(super) async fn renew(shared: &Shared) -> Result<Renewed, Error> {
    let member = &shared.member;
    let (key, request) = secrets::request(&member.swarm(), member.id(), member.node_layout())?;
    let identity = match &shared.hub {
        Some(hub) => {
            let store = hub.authority.store().clone();
            let current = member.certificate();
            let requester = member.id().to_string();
            let issued = tokio::task::spawn_blocking(move || {
                store.renew(&current, &request, &requester, Timestamp::now())
            })
            .await
            .expect("renewing does not panic")?;
            Identity::new(key, issued.certificate, vec![issued.issuer])
        }
        None => {
            let hubs = Expected::Role(Role::hub());
            let mut client = Client::default();
            client.limits.time = PATIENCE;
            let enrolled = client
                .renew(member.tls(), &hubs, &authorities(shared), &request)
                .await?;
            Identity::new(key, enrolled.certificate, vec![enrolled.issuer])
        }
    };
    member.replace_identity(identity)?;
    if let Err(error) = shared.bus.reload().await {
        // it reconnects with the new certificate by itself at the next chance
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the bus stays on the old certificate for now"
        );
    }
    shared.refresh.notify_one();
    let certificate = member.certificate();
    Ok(Renewed {
        node: member.id().to_string(),
        serial: certificate.serial().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}

/// Where authorities answer: at the enrolment port, inside the mesh and outside.
fn authorities(shared: &Shared) -> Vec<SocketAddr> {
    let hubs = shared.member.plan().hubs();
    hubs.filter_map(|hub| {
        let outside = hub.enroll?;
        Some([
            SocketAddr::new(hub.addresses.v4.into(), outside.port()),
            outside,
        ])
    })
    .flatten()
    .collect()
}
