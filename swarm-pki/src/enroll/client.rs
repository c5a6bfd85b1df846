//! The joining machine's side: from an invite to a certificate, and from a certificate to the next.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use rustls::{
    ClientConfig,
    time_provider::{DefaultTimeProvider, TimeProvider},
};
use tokio::{net::lookup_host, time::timeout};
use zeroize::Zeroizing;

use super::{
    Address, AttemptError, ClockError, Invite, JoinError, Reason, date, error::Answer,
    pinning::unverified_client_config, pkcs7, refusal, server::PATH,
};
use crate::{
    Certificate, CertificateRequest, Fingerprint, NodeCertificate, NodeId, RevocationList,
    Timestamp, Trust, TrustBundle,
    tls::{Expected, MeshTls, anonymous_client_config, http as https},
};

/// The most sockets that are tried for one name.
const MAX_RESOLVED: usize = 4;

/// Clocks that differ by less are not blamed: certificates are backdated by more.
pub(super) const TOLERATED_SKEW: Duration = Duration::from_secs(5 * 60);

/// What a machine has after it joined or renewed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Enrolled {
    /// The node's new certificate, verified.
    pub certificate: NodeCertificate,
    /// The authority that issued it.
    pub issuer: Certificate,
    /// What the certificate was verified with: pinned to the root, revocation lists included.
    pub trust: Trust,
    /// Which address of the authority answered.
    pub address: SocketAddr,
}

impl Enrolled {
    /// Returns the chain to present in TLS, the node's own certificate first.
    pub fn chain(&self) -> [Certificate; 2] {
        [self.certificate.certificate().clone(), self.issuer.clone()]
    }
}

/// An enrolment client: EST (RFC 7030) with a pinned root.
///
/// # Defaults
/// 15 s for each address and step, and a revocation list of up to 4 MiB.
#[derive(Debug, Clone)]
pub struct Client {
    /// What each exchange with an address may cost.
    pub limits: https::Limits,
    pub(super) clock: Arc<dyn TimeProvider>,
}

impl Default for Client {
    fn default() -> Self {
        Self::with_clock(Arc::new(DefaultTimeProvider))
    }
}

impl Client {
    /// Makes a client that reads the time from a clock of the caller's.
    pub fn with_clock(clock: Arc<dyn TimeProvider>) -> Self {
        let limits = https::Limits {
            time: Duration::from_secs(15),
            body: 4 * 1024 * 1024,
        };
        Self { limits, clock }
    }

    /// Redeems an invite: certifies the keys of `request` as the node that the invite names.
    ///
    /// The addresses of the invite are tried in turn. At each, the authority's certificates are
    /// fetched over a connection that is not verified yet, and the root among them is compared
    /// with the fingerprint in the invite (RFC 7030, 4.1.1); only then, over a second connection
    /// that is verified down from that root, the secret is shown to the one node that the invite
    /// names as the authority.
    ///
    /// Asking again with the same keys is harmless: an invite that was spent on them gives the same
    /// certificate again.
    ///
    /// # Errors
    /// [`JoinError`]: what the authority refused, or what each address said.
    pub async fn join(
        &self,
        invite: &Invite,
        request: &CertificateRequest,
    ) -> Result<Enrolled, JoinError> {
        let mut tried = Vec::new();
        for address in invite.addresses() {
            let sockets = match self.resolve(address).await {
                Ok(sockets) => sockets,
                Err(error) => {
                    tried.push((address.to_string(), error));
                    continue;
                }
            };
            for socket in sockets {
                match self.join_at(socket, invite, request).await {
                    Ok(enrolled) => return Ok(enrolled),
                    Err(Answer::Final(error)) => return Err(error),
                    Err(Answer::TryNext(error)) => tried.push((socket.to_string(), error)),
                }
            }
        }
        Err(JoinError::from_attempts(tried))
    }

    /// Renews the certificate of a running node, perhaps for new keys.
    ///
    /// The certificate that `tls` presents is the one that is renewed; it is not exchanged there:
    /// [`MeshTls::replace_identity`] does that.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn renew(
        &self,
        tls: &MeshTls,
        authority: &Expected,
        addresses: &[SocketAddr],
        request: &CertificateRequest,
    ) -> Result<Enrolled, JoinError> {
        let node = tls.certificate().id().clone();
        let config = tls.client_config(authority.clone(), &[b"http/1.1"]);
        let mut tried = Vec::new();
        for &socket in addresses {
            let trust = Trust::clone(&tls.trust());
            match self.renew_at(socket, &config, trust, &node, request).await {
                Ok(enrolled) => return Ok(enrolled),
                Err(Answer::Final(error)) => return Err(error),
                Err(Answer::TryNext(error)) => tried.push((socket.to_string(), error)),
            }
        }
        Err(JoinError::from_attempts(tried))
    }

    async fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, AttemptError> {
        match address {
            Address::Socket(socket) => Ok(vec![*socket]),
            Address::Name(name, port) => {
                let found = timeout(self.limits.time, lookup_host((name.as_str(), *port)));
                let found = found
                    .await
                    .map_err(|elapsed| AttemptError::Resolve(elapsed.into()))?;
                let found = found.map_err(AttemptError::Resolve)?;
                Ok(found.take(MAX_RESOLVED).collect())
            }
        }
    }

    async fn join_at(
        &self,
        socket: SocketAddr,
        invite: &Invite,
        request: &CertificateRequest,
    ) -> Result<Enrolled, Answer> {
        let unverified = unverified_client_config(Arc::clone(&self.clock));
        let (bundle, authority_clock) = self.ca_certs(socket, &unverified).await?;
        let root = bundle
            .roots
            .iter()
            .find(|root| root.fingerprint() == invite.root());
        let Some(root) = root else {
            let found = bundle.roots.iter().map(Certificate::fingerprint).collect();
            return Err(AttemptError::WrongRoot {
                expected: invite.root(),
                found,
            }
            .into());
        };
        let skew = authority_clock.and_then(|theirs| ClockError::between(self.now(), theirs));
        let attempt = async {
            let mut trust = Trust::new(invite.swarm().clone(), vec![root.clone()])
                .map_err(|_| AttemptError::BadAnswer("the root is not usable"))?;
            trust.merge(&bundle, self.now());
            let expected = Expected::Node(invite.authority().clone());
            let config = anonymous_client_config(
                trust.clone(),
                expected,
                &[b"http/1.1"],
                Arc::clone(&self.clock),
            );
            let mut post = post(socket, "simpleenroll", request)?;
            post.headers_mut()
                .insert(header::AUTHORIZATION, basic(invite));
            let response = self.exchange(socket, &config, post).await?;
            self.issued(response, trust, Some(invite.node()), request, socket)
        };
        attempt
            .await
            .map_err(|answer| answer.blame(skew, TOLERATED_SKEW))
    }

    async fn renew_at(
        &self,
        socket: SocketAddr,
        config: &Arc<ClientConfig>,
        mut trust: Trust,
        node: &NodeId,
        request: &CertificateRequest,
    ) -> Result<Enrolled, Answer> {
        let (bundle, _) = self.ca_certs(socket, config).await?;
        trust.merge(&bundle, self.now());
        let post = post(socket, "simplereenroll", request)?;
        let response = self.exchange(socket, config, post).await?;
        self.issued(response, trust, Some(node), request, socket)
    }

    /// Fetches the authority's certificates and revocation lists, and the time by its clock.
    pub(super) async fn ca_certs(
        &self,
        socket: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> Result<(TrustBundle, Option<Timestamp>), Answer> {
        let request = Request::get(format!("https://{socket}{PATH}/cacerts"))
            .body(Bytes::new())
            .map_err(|_| AttemptError::BadAnswer("an address that is none"))?;
        let response = self.exchange(socket, config, request).await?;
        let clock = response.headers().get(header::DATE).and_then(date::read);
        if response.status() != StatusCode::OK {
            return Err(AttemptError::BadAnswer("no certificates of an authority").into());
        }
        let content = content(&response)?;
        let mut bundle = TrustBundle::default();
        for der in &content.certificates {
            let certificate = Certificate::from_der(der)
                .map_err(|_| AttemptError::BadAnswer("a malformed certificate"))?;
            let into = if certificate.is_self_issued() {
                &mut bundle.roots
            } else if certificate.path_length() == Some(0) {
                &mut bundle.issuers
            } else {
                // An old root's word for the next one (RFC 7030, 4.1.3).
                &mut bundle.links
            };
            into.push(certificate);
        }
        for der in &content.lists {
            let list = RevocationList::from_der(der)
                .map_err(|_| AttemptError::BadAnswer("a malformed revocation list"))?;
            bundle.crls.push(list);
        }
        Ok((bundle, clock))
    }

    pub(super) async fn exchange(
        &self,
        socket: SocketAddr,
        config: &Arc<ClientConfig>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Answer> {
        let response = https::request(socket, config, request, &self.limits).await;
        response.map_err(|error| AttemptError::from(error).into())
    }

    /// Checks that the answer is a certificate of this swarm, for this node and for these keys.
    pub(super) fn issued(
        &self,
        response: Response<Bytes>,
        trust: Trust,
        node: Option<&NodeId>,
        request: &CertificateRequest,
        address: SocketAddr,
    ) -> Result<Enrolled, Answer> {
        if response.status() != StatusCode::OK {
            return Err(refused(&response));
        }
        let content = content(&response)?;
        let certificate = content
            .certificates
            .iter()
            .filter_map(|der| NodeCertificate::from_der(der).ok())
            .find(|certificate| certificate.spki_der() == request.public_key().spki_der())
            .ok_or(AttemptError::BadAnswer("no certificate for our key"))?;
        let identity = certificate.identity();
        let is_other = node.is_some_and(|node| identity.id != *node);
        if is_other || identity.wireguard_public_key != request.wireguard_public_key() {
            return Err(AttemptError::BadAnswer("a certificate for another node").into());
        }
        let now = self.now();
        trust
            .verify(&[certificate.der().clone()], now)
            .map_err(AttemptError::Untrusted)?;
        let issuer = trust
            .issuers()
            .find(|issuer| certificate.is_signed_by(issuer))
            .cloned()
            .ok_or(AttemptError::BadAnswer("a certificate without its issuer"))?;
        Ok(Enrolled {
            certificate,
            issuer,
            trust,
            address,
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock
            .current_time()
            .map_or(Timestamp::MIN, Timestamp::from)
    }
}

pub(super) fn post(
    socket: SocketAddr,
    operation: &str,
    request: &CertificateRequest,
) -> Result<Request<Bytes>, AttemptError> {
    Request::post(format!("https://{socket}{PATH}/{operation}"))
        .header(header::CONTENT_TYPE, "application/pkcs10")
        .header("content-transfer-encoding", "base64")
        .body(STANDARD.encode(request.der()).into())
        .map_err(|_| AttemptError::BadAnswer("an address that is none"))
}

fn basic(invite: &Invite) -> HeaderValue {
    let pair = Zeroizing::new(format!("{}:{}", invite.node(), *invite.secret().expose()));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::try_from(value.as_str()).expect("base64 is plain ASCII");
    value.set_sensitive(true);
    value
}

fn content(response: &Response<Bytes>) -> Result<pkcs7::Content, AttemptError> {
    let bad = AttemptError::BadAnswer("no certs-only message");
    let plain: Vec<u8> = response
        .body()
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let Ok(der) = STANDARD.decode(plain) else {
        return Err(bad);
    };
    pkcs7::decode(&der).map_err(|_| bad)
}

pub(super) fn refused(response: &Response<Bytes>) -> Answer {
    let reason = response.headers().get(refusal::HEADER);
    let reason = reason.and_then(|reason| Reason::from_token(reason.as_bytes()));
    // What the authority says is shown to people: one line, nothing that moves a cursor.
    let line = String::from_utf8_lossy(response.body());
    let line = line.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    let status = response.status().as_u16();
    match reason {
        Some(Reason::Busy | Reason::Fault) | None => AttemptError::Status { status, line }.into(),
        Some(reason) => Answer::Final(JoinError::Refused { reason, line }),
    }
}

/// For messages: which roots an address has instead.
pub(super) fn listed(fingerprints: &[Fingerprint]) -> String {
    match fingerprints {
        [] => "none".to_owned(),
        [first] => first.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}
