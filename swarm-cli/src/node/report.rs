//! What this node knows of roots and issuing authorities, told to the authority: it retires none before every
//! live node knows the next one.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_pki::enroll::Client;
use swarm_pki::tls::Expected;
use swarm_pki::{Certificate, Fingerprint, Role, Timestamp};
use tokio::time::Instant;

use crate::error::Error;

use super::Shared;
use super::renewal::{PATIENCE, authorities};

/// After this long it is told again: an authority that was restored from a backup has forgotten.
const AGAIN: Duration = Duration::from_secs(3_600);

/// What was reported last, and when.
#[derive(Default)]
pub(super) struct Report {
    told: Option<(BTreeSet<Fingerprint>, Instant)>,
}

impl Report {
    /// Tells the authority what is known now, unless it was told already.
    pub(super) async fn bring(&mut self, shared: &Shared) {
        let known = known(shared);
        let is_told =
            |(told, at): &(BTreeSet<Fingerprint>, Instant)| *told == known && at.elapsed() < AGAIN;
        if self.told.as_ref().is_some_and(is_told) {
            return;
        }
        match tell(shared, &known).await {
            Ok(()) => self.told = Some((known, Instant::now())),
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the authority was not told yet which authorities this node knows"
            ),
        }
    }

    /// Completes when something else is known than was reported.
    pub(super) async fn is_outdated(&self, shared: &Shared) {
        let mut generation = shared.member.tls().subscribe();
        loop {
            generation.mark_unchanged();
            // what could not be reported is tried again in its time, not at once
            if self
                .told
                .as_ref()
                .is_some_and(|(told, _)| *told != known(shared))
            {
                return;
            }
            if generation.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

fn known(shared: &Shared) -> BTreeSet<Fingerprint> {
    let trust = shared.member.tls().trust();
    let authorities = trust.roots().chain(trust.issuers());
    authorities.map(Certificate::fingerprint).collect()
}

async fn tell(shared: &Shared, known: &BTreeSet<Fingerprint>) -> Result<(), Error> {
    let member = &shared.member;
    if let Some(hub) = &shared.hub {
        let store = hub.authority.store().clone();
        let (certificate, known) = (member.certificate(), Vec::from_iter(known.iter().copied()));
        return tokio::task::spawn_blocking(move || {
            store.report_trust(&certificate, &known, Timestamp::now())
        })
        .await
        .expect("reporting does not panic")
        .map_err(Error::from);
    }
    let mut client = Client::default();
    client.limits.time = PATIENCE;
    let hubs = Expected::Role(Role::hub());
    client
        .report_trust(member.tls(), &hubs, &authorities(member))
        .await
        .map_err(Error::from)
}
