//! A certificate kept renewed for as long as its node runs.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Client, Enrolled, JoinError, RenewalSchedule};
use crate::{
    CertificateRequest, NodeCertificate, SerialNumber, Signer, Timestamp,
    tls::{Expected, MeshTls, OwnCertificateError},
};

/// The longest sleep between two looks at the clock and the certificate: either may be set
/// meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// The pause after a success: a certificate that is due as soon as it is issued is no reason to
/// keep an authority busy.
const AFTER_SUCCESS: Duration = Duration::from_secs(10);

/// What a caller's own step of a renewal fails with.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Says why a renewal was not completed.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("no key and request were made")]
    Request(#[source] BoxError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("the new certificate could not be kept")]
    Keep(#[source] BoxError),
    #[error("the new certificate is not presented")]
    Identity(#[from] OwnCertificateError),
}

impl Client {
    /// Renews the certificate that `tls` presents whenever it is due, for ever.
    ///
    /// `request` makes a key (a new one, or the one in use) and a request signed with it; `keep`
    /// stores what came back, before it counts, so that a node that stops in between starts with
    /// a certificate and a key that belong together. Then `tls` presents the new certificate and
    /// believes what came with it; no connection is dropped for it. Both functions run between
    /// other tasks and may write a file, no more.
    ///
    /// What fails is logged and tried again as [`RenewalSchedule`] says. The clock that counts is
    /// this client's, or the newest revocation list where the clock is behind that. Drop the future to
    /// stop.
    ///
    /// ```no_run
    /// use std::{net::SocketAddr, sync::Arc};
    /// use swarm_pki::{CertificateRequest, KeyAlgorithm, PrivateKey, Role};
    /// use swarm_pki::{enroll::{Client, Enrolled}, tls::{Expected, MeshTls}};
    ///
    /// # fn example(tls: MeshTls, authority: SocketAddr) {
    /// tokio::spawn(async move {
    ///     let hubs = Expected::Role(Role::hub());
    ///     let request = |current: &swarm_pki::NodeCertificate| {
    ///         let key = Arc::new(PrivateKey::generate(KeyAlgorithm::P256)?);
    ///         let node = current.identity();
    ///         let wireguard = node.wireguard_public_key;
    ///         let request = CertificateRequest::build(&*key, &node.swarm, &node.id, wireguard)?;
    ///         Ok((key, request))
    ///     };
    ///     let keep = |enrolled: &Enrolled, key: &Arc<PrivateKey>| {
    ///         // One file, so that it is replaced as a whole.
    ///         let chain: String = enrolled.chain().iter().map(|one| one.to_pem()).collect();
    ///         std::fs::write("node.new", key.to_pem().to_string() + &chain)?;
    ///         Ok(std::fs::rename("node.new", "node.pem")?)
    ///     };
    ///     Client::default().keep_renewed(&tls, &hubs, &[authority], request, keep).await
    /// });
    /// # }
    /// ```
    pub async fn keep_renewed<K: Signer + Clone + 'static>(
        &self,
        tls: &MeshTls,
        authority: &Expected,
        addresses: &[SocketAddr],
        mut request: impl FnMut(&NodeCertificate) -> Result<(K, CertificateRequest), BoxError>,
        mut keep: impl FnMut(&Enrolled, &K) -> Result<(), BoxError>,
    ) -> Infallible {
        let mut pace = Pace::new(&tls.certificate(), Instant::now());
        loop {
            let current = tls.certificate();
            let now = self.now().max(tls.trust().floor());
            if let Some(nap) = pace.nap(&current, now, Instant::now()) {
                sleep(nap).await;
                continue;
            }
            let renewed = async {
                let (key, csr) = request(&current).map_err(RenewalError::Request)?;
                let enrolled = self.renew(tls, authority, addresses, &csr).await?;
                keep(&enrolled, &key).map_err(RenewalError::Keep)?;
                tls.replace_identity(&enrolled.chain(), key)?;
                let news = enrolled.trust.to_bundle();
                let believed =
                    tls.update_trust(|trust| Ok::<_, Infallible>(trust.merge(&news, now)));
                let Ok(_) = believed;
                Ok::<_, RenewalError>(enrolled.certificate)
            };
            match Box::pin(renewed).await {
                Ok(certificate) => {
                    tracing::info!(serial = %certificate.serial(), "certificate renewed");
                    pace.succeeded(Instant::now());
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(error, "the certificate is not renewed yet");
                    pace.failed(now, Instant::now());
                }
            }
        }
    }
}

/// When to try next. The due time goes by the clock, pauses by the time that passes, which
/// nobody sets.
#[derive(Debug)]
struct Pace {
    serial: SerialNumber,
    schedule: RenewalSchedule,
    failures: u32,
    not_before: Instant,
}

impl Pace {
    fn new(certificate: &NodeCertificate, at: Instant) -> Self {
        Self {
            serial: certificate.serial(),
            schedule: RenewalSchedule::of(certificate),
            failures: 0,
            not_before: at,
        }
    }

    /// Says how long to sleep before looking again; `None` when it is time to try.
    fn nap(&mut self, current: &NodeCertificate, now: Timestamp, at: Instant) -> Option<Duration> {
        if current.serial() != self.serial {
            // By this loop, or by somebody else.
            self.serial = current.serial();
            self.schedule = RenewalSchedule::issued_at(current, now);
            self.failures = 0;
        }
        let pause = self.not_before.saturating_duration_since(at);
        let nap = self.schedule.due().since(now).max(pause);
        (!nap.is_zero()).then_some(nap.min(LOOK))
    }

    fn succeeded(&mut self, at: Instant) {
        self.failures = 0;
        self.not_before = at + AFTER_SUCCESS;
    }

    fn failed(&mut self, now: Timestamp, at: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = at + self.schedule.pause(now, self.failures);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::TestAuthority;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn it_waits_until_it_is_due_and_looks_at_the_clock_meanwhile() {
        let mut authority = TestAuthority::default();
        let node = authority.issue("edge1", &[]).certificate;
        let at = Instant::now();
        let mut pace = Pace::new(&node, at);
        let due = RenewalSchedule::of(&node).due();
        assert_eq!(pace.nap(&node, authority.start, at), Some(LOOK));
        let soon = Duration::from_secs(7);
        assert_eq!(pace.nap(&node, due - soon, at), Some(soon));
        assert_eq!(pace.nap(&node, due, at), None);
        // The clock was ahead, and is set right.
        assert_eq!(pace.nap(&node, authority.start, at), Some(LOOK));
    }

    #[test]
    fn pauses_after_failures_do_not_go_by_a_clock_that_jumps() {
        let mut authority = TestAuthority::default();
        let node = authority.issue("edge1", &[]).certificate;
        let start = Instant::now();
        let mut pace = Pace::new(&node, start);
        let due = RenewalSchedule::of(&node).due();
        for _ in 0..5 {
            pace.failed(due, start);
        }
        let pause = RenewalSchedule::of(&node).pause(due, 5);
        assert!(pause > LOOK);
        assert_eq!(pace.nap(&node, due + DAY, start), Some(LOOK));
        assert_eq!(pace.nap(&node, due, start + pause), None);
    }

    #[test]
    fn a_certificate_that_somebody_else_renewed_starts_anew() {
        let mut authority = TestAuthority::default();
        let [old, new] = [(); 2].map(|()| authority.issue("edge1", &[]).certificate);
        let at = Instant::now();
        let mut pace = Pace::new(&old, at);
        let due = RenewalSchedule::of(&old).due();
        assert_eq!(pace.nap(&old, due, at), None);
        pace.failed(due, at);
        let later = at + 2 * LOOK;
        assert_eq!(pace.nap(&new, authority.start, later), Some(LOOK));
        assert_eq!(pace.failures, 0);
    }

    #[test]
    fn success_is_not_followed_by_another_attempt_at_once() {
        let mut authority = TestAuthority::default();
        let node = authority.issue("edge1", &[]).certificate;
        let at = Instant::now();
        let mut pace = Pace::new(&node, at);
        pace.succeeded(at);
        let due = RenewalSchedule::of(&node).due();
        assert_eq!(pace.nap(&node, due, at), Some(AFTER_SUCCESS));
    }
}
