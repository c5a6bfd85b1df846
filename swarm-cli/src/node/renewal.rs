//! A certificate renewed before it ends, and the bus moved over to it without a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_pki::enroll::Client;
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

/// Renews when two thirds of the certificate's life are over, a little earlier on some nodes than on others
/// so that not all come at once.
pub(super) async fn keep(shared: Arc<Shared>) {
    loop {
        if is_due(&shared, Timestamp::now())
            && let Err(error) = renew(&shared).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the certificate is not renewed yet"
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_due(shared: &Shared, now: Timestamp) -> bool {
    let certificate = shared.member.certificate();
    let life = certificate.not_after().since(certificate.not_before());
    // a fixed share of up to a tenth of the life, from the serial number, is this certificate's jitter
    let jitter =
        f64::from(certificate.serial().as_bytes().last().copied().unwrap_or(0)) / 255.0 / 10.0;
    now.since(certificate.not_before()) >= life.mul_f64(2.0 / 3.0 - jitter)
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
