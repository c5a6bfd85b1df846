//! A certificate renewed before it ends, and the bus moved over to it without a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_bus::topics::Occurrence;
use swarm_pki::enroll::{Client, RenewalSchedule};
use swarm_pki::tls::Expected;
use swarm_pki::{NodeCertificate, Role, Timestamp};
use tokio::time::Instant;

use crate::control::Renewed;
use crate::error::Error;
use crate::identity::Identity;
use crate::member::Member;
use crate::{secrets, wire};

use super::{Shared, comeback};

/// How often it is looked whether a renewal is due.
const LOOK: Duration = Duration::from_secs(60);
/// On a hub, whose authority is at its side and may have been rolled over a moment ago.
const LOOK_ON_HUB: Duration = Duration::from_secs(1);
/// How long each address of an authority may take, so that the next is tried while somebody waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// Renews when it is due, and after a failure again as the time that is left allows. Also soon after the
/// hub's certificate comes from another authority, for then the one that issued this node's is to be retired.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut generation = shared.member.tls().subscribe();
    let mut pace = Pace::default();
    let look = if shared.hub.is_some() {
        LOOK_ON_HUB
    } else {
        LOOK
    };
    loop {
        generation.mark_unchanged();
        let certificate = shared.member.certificate();
        let schedule = RenewalSchedule::of(&certificate);
        let now = Timestamp::now();
        if pace.rests() {
            // a failure or a success a moment ago
        } else if schedule.end() < now {
            pace.ended(comeback::while_running(&shared).await, &schedule, now);
        } else if let Some(successor) = pace.successor(&shared) {
            tokio::time::sleep(spread(&certificate)).await;
            let renewed = renew(&shared).await;
            if renewed.is_ok() && shared.member.certificate().issuer_der() != successor {
                pace.not_ours = Some(successor);
            }
            pace.ended(renewed.map(drop), &schedule, now);
        } else if schedule.due() <= now {
            pace.ended(renew(&shared).await.map(drop), &schedule, now);
        }
        tokio::select! {
            () = tokio::time::sleep(look) => {}
            // the sender lives as long as the member does
            _ = generation.changed() => {}
        }
    }
}

/// What tries and failures mean for the next try.
#[derive(Default)]
struct Pace {
    failures: u32,
    rests_until: Option<Instant>,
    /// The authority of the hub's certificate that a renewal did not lead to: this node has another one.
    not_ours: Option<Vec<u8>>,
}

impl Pace {
    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    fn ended(&mut self, result: Result<(), Error>, schedule: &RenewalSchedule, now: Timestamp) {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.rests_until = None;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the certificate is not renewed yet"
                );
                self.failures = self.failures.saturating_add(1);
                self.rests_until = Some(Instant::now() + schedule.pause(now, self.failures));
            }
        }
    }

    /// The name of the authority that certificates come from by now, when it is another than this node's.
    fn successor(&self, shared: &Shared) -> Option<Vec<u8>> {
        let own = shared.member.certificate();
        let issuer = current_issuer(shared)?;
        let is_news = issuer != own.issuer_der() && self.not_ours.as_ref() != Some(&issuer);
        is_news.then_some(issuer)
    }
}

/// The name of the authority that certificates come from: on a hub its own authority's, elsewhere that of the
/// primary hub's certificate.
fn current_issuer(shared: &Shared) -> Option<Vec<u8>> {
    if let Some(hub) = &shared.hub {
        let (_, issuing) = hub.authority.store().issuing().ok()?;
        return Some(issuing.subject_der().to_vec());
    }
    let primary = wire::node_id(&shared.member.plan().primary().id);
    let trust = shared.member.tls().trust();
    Some(trust.node(&primary)?.issuer_der().to_vec())
}

/// How long this node waits so that not all come at once: up to two seconds.
fn spread(certificate: &NodeCertificate) -> Duration {
    let byte = certificate.serial().as_bytes().last().copied();
    Duration::from_millis(8) * u32::from(byte.unwrap_or(0))
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
                .renew(member.tls(), &hubs, &authorities(member), &request)
                .await?;
            member.take_over(&enrolled.trust.to_bundle())?;
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
    let not_after = wire::bus_time(certificate.not_after());
    shared.events.tell(Occurrence::Renewed { not_after }).await;
    Ok(Renewed {
        node: member.id().to_string(),
        serial: certificate.serial().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}

/// Where authorities answer: at the enrolment port, inside the mesh and outside.
pub(super) fn authorities(member: &Member) -> Vec<SocketAddr> {
    let hubs = member.plan().hubs();
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
