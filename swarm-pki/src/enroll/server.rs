//! The authority's side of EST, independent of any listener.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    Reason,
    attempts::Attempts,
    body::{self, RequestBody},
    date, pkcs7,
    report::{self, MAX_REPORT, TRUST_PATH},
    response::{self, Refused},
};
use crate::{
    NodeCertificate, NodeId, Timestamp,
    store::{self, InviteSecret, Issued, Reenrolment, Store},
};

/// Under which EST lives (RFC 7030, 3.2.2).
pub const PATH: &str = "/.well-known/est";

/// Revocation lists that make the answer of `cacerts` longer than this stay out of it.
const MAX_CRLS: usize = 2 * 1024 * 1024;

const INVITE_NEEDED: &str = "node id and secret of an invite are needed";

/// How many calls may work on the store, or wait for it, at once.
const MAX_STORE_CALLS: usize = 32;

/// An enrolment server: EST (RFC 7030) over an authority's [`Store`].
///
/// | path under `/.well-known/est` | who may, with what | what it does |
/// |---|---|---|
/// | `GET cacerts` | anybody | root, issuing authorities and their revocation lists |
/// | `GET csrattrs` | anybody | what a request should have: P-256, the identity extension |
/// | `POST simpleenroll` | an invite: HTTP Basic, node id and secret | spends the invite |
/// | `POST simpleenroll` | nothing but a request signed by the key of a node whose certificate came to its end | certifies it again once an operator has approved, 202 until then |
/// | `POST simplereenroll` | a node with its certificate | renews it |
/// | `POST` [`TRUST_PATH`] | a node with its certificate | takes down which roots and authorities it knows |
///
/// What is issued is what the operator granted when the invite was made; what a request asks for
/// does not count. A refusal is one plain line of text, its reason in one word in the header
/// `Swarm-Refusal`, and an entry in the store's audit log.
///
/// It is a function from request to response: [`handle`](Self::handle) fits into any HTTP server
/// whose TLS asks for a client certificate without requiring it, and [`serve`](Self::serve) is
/// one.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    store: Store,
    clock: Arc<dyn TimeProvider>,
    attempts: Mutex<Attempts>,
    calls: Arc<Semaphore>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("store", &self.0.store.directory())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Makes a server over an authority's store.
    pub fn new(store: Store) -> Self {
        Self::with_clock(store, Arc::new(DefaultTimeProvider))
    }

    /// Makes a server that reads the time from a clock of the caller's.
    pub fn with_clock(store: Store, clock: Arc<dyn TimeProvider>) -> Self {
        Self(Arc::new(Shared {
            store,
            clock,
            attempts: Mutex::default(),
            calls: Arc::new(Semaphore::new(MAX_STORE_CALLS)),
        }))
    }

    /// Answers one request. `peer` is the client's certificate, verified in the TLS handshake.
    ///
    /// A [`SocketAddr`] among the request's extensions is taken for the client's address: it is
    /// named in the audit log, and wrong secrets are counted by it. Requests for other paths are
    /// answered 404.
    pub async fn handle<B>(
        &self,
        peer: Option<&NodeCertificate>,
        request: Request<B>,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let mut response = match self.route(peer, request).await {
            Ok(response) => response,
            Err(refused) => {
                tracing::info!(%refused, "enrolment refused");
                refused.into_response()
            }
        };
        if let Some(now) = self.now() {
            response
                .headers_mut()
                .insert(header::DATE, date::write(now));
        }
        response
    }

    async fn route<B: RequestBody>(
        &self,
        peer: Option<&NodeCertificate>,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let Some(operation) = Operation::find(request.uri().path()) else {
            return Err(Refused::line(
                StatusCode::NOT_FOUND,
                "there is nothing here",
            ));
        };
        if *request.method() != operation.method() {
            let line = "this path is for another method";
            return Err(Refused::line(StatusCode::METHOD_NOT_ALLOWED, line));
        }
        match operation {
            Operation::CaCerts => self.ca_certs().await,
            Operation::CsrAttrs => Ok(response::csr_attributes()),
            Operation::SimpleEnroll => self.enroll(request).await,
            Operation::SimpleReenroll => self.reenroll(peer, request).await,
            Operation::Trust => self.trust(peer, request).await,
        }
    }

    async fn ca_certs(&self) -> Result<Response<Full<Bytes>>, Refused> {
        let bundle = self.with_store(|store, now| store.bundle(now)).await?;
        let certificates = bundle.roots.iter().chain(&bundle.links);
        let certificates = certificates.chain(&bundle.issuers);
        let certificates = certificates.map(|certificate| certificate.der().as_ref());
        let lists: Vec<&[u8]> = bundle.crls.iter().map(|crl| crl.der().as_ref()).collect();
        let fit = lists.iter().map(|crl| crl.len()).sum::<usize>() <= MAX_CRLS;
        let message = pkcs7::encode(certificates, if fit { &lists } else { &[] });
        Ok(response::certificates(&message))
    }

    async fn enroll<B: RequestBody>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        if !request.headers().contains_key(header::AUTHORIZATION) {
            return self.come_back(request).await;
        }
        let (address, requester) = requester(&request);
        let Some((user, secret)) = credentials(request.headers()) else {
            let refused = self.shows_nothing(address, Refused::unauthorized(INVITE_NEEDED));
            return self.audited("redeem", None, requester, refused).await;
        };
        let node = user.parse::<NodeId>().ok();
        let issued = self
            .redeem(node.clone(), &secret, address, requester.clone(), request)
            .await;
        let issued = self.audited("redeem", node, requester, issued).await?;
        Ok(response::issued(&issued))
    }

    /// Answers a request without credentials: the key that signed it may be that of a node whose
    /// certificate came to its end.
    async fn come_back<B: RequestBody>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let (address, requester) = requester(&request);
        let Ok(csr) = body::certificate_request(request).await else {
            let refused = self.shows_nothing(address, Refused::unauthorized(INVITE_NEEDED));
            return self.audited("redeem", None, requester, refused).await;
        };
        let (nobody, now) = ((None, address), self.now().ok_or(Reason::Fault)?);
        if self.attempts(|attempts| attempts.is_blocked(&nobody, now)) {
            return Err(Refused::from(Reason::TooManyAttempts).recorded());
        }
        let asked = self.with_store(move |store, now| store.reenroll(&csr, &requester, now));
        match asked.await {
            Ok(Reenrolment::Issued(issued)) => Ok(response::issued(&issued)),
            Ok(Reenrolment::Pending { .. }) => Ok(response::pending()),
            Err(refused) => {
                if !refused.is_for(Reason::Busy) && !refused.is_for(Reason::Fault) {
                    self.attempts(|attempts| attempts.failed(nobody, now));
                }
                Err(if refused.is_for(Reason::WrongSecret) {
                    // A stranger's key. A client that waits to be asked for a secret is asked.
                    Refused::unauthorized(INVITE_NEEDED).recorded()
                } else {
                    refused
                })
            }
        }
    }

    /// Takes down what a member says that it knows of roots and authorities.
    async fn trust<B: RequestBody>(
        &self,
        peer: Option<&NodeCertificate>,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let Some(node) = peer.cloned() else {
            let line = "a report needs the reporting node's certificate in the TLS session";
            let (address, requester) = requester(&request);
            let refused = self.shows_nothing(address, Refused::line(StatusCode::FORBIDDEN, line));
            return self.audited("report", None, requester, refused).await;
        };
        let (id, requester) = (node.id().clone(), format!("node {}", node.id()));
        let noted = async {
            let body = body::read(request, "application/json", MAX_REPORT).await?;
            let known = report::read(&body).map_err(Refused::bad_request)?;
            self.with_store(move |store, now| store.report_trust(&node, &known, now))
                .await
        };
        let noted = noted.await;
        self.audited("report", Some(id), requester, noted).await?;
        Ok(response::noted())
    }

    /// Refuses a request that shows nothing; a flood of them does not keep the log busy.
    fn shows_nothing<T>(&self, address: Option<IpAddr>, refused: Refused) -> Result<T, Refused> {
        let now = self.now().ok_or(Reason::Fault)?;
        let nobody = (None, address);
        let is_flood = self.attempts(|attempts| {
            let is_flood = attempts.is_blocked(&nobody, now);
            attempts.failed(nobody, now);
            is_flood
        });
        Err(if is_flood {
            refused.recorded()
        } else {
            refused
        })
    }

    async fn redeem<B: RequestBody>(
        &self,
        node: Option<NodeId>,
        secret: &str,
        address: Option<IpAddr>,
        requester: String,
        request: Request<B>,
    ) -> Result<Issued, Refused> {
        // A name that is none cannot have been invited.
        let node = node.ok_or(Reason::WrongSecret)?;
        let attempt = (Some(node.clone()), address);
        let now = self.now().ok_or(Reason::Fault)?;
        if self.attempts(|attempts| attempts.is_blocked(&attempt, now)) {
            // The log has the failures that led to it; a flood shall not keep the disk busy.
            return Err(Refused::from(Reason::TooManyAttempts).recorded());
        }
        let csr = body::certificate_request(request).await?;
        let issued = match secret.parse::<InviteSecret>() {
            Err(_) => Err(Reason::WrongSecret.into()),
            Ok(secret) => {
                self.with_store(move |store, now| match store.check_invite(&secret, now) {
                    Ok(invite) if *invite.node() != node => Ok(None),
                    // Spent invites pass: the store gives the same key the same answer again.
                    _ => store.redeem(&secret, &csr, &requester, now).map(Some),
                })
                .await
                .and_then(|issued| issued.ok_or_else(|| Reason::WrongSecret.into()))
            }
        };
        if matches!(&issued, Err(refused) if refused.is_for(Reason::WrongSecret)) {
            self.attempts(|attempts| attempts.failed(attempt, now));
        }
        issued
    }

    async fn reenroll<B: RequestBody>(
        &self,
        peer: Option<&NodeCertificate>,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let Some(current) = peer.cloned() else {
            let line = "a renewal needs the certificate that is to be renewed, in the TLS session";
            let (address, requester) = requester(&request);
            let refused = Refused::line(StatusCode::FORBIDDEN, line);
            let refused = self.shows_nothing(address, refused);
            return self.audited("renew", None, requester, refused).await;
        };
        let node = current.id().clone();
        let requester = format!("node {node}");
        let issued = match body::certificate_request(request).await {
            Err(refused) => Err(refused),
            Ok(csr) => {
                let requester = requester.clone();
                self.with_store(move |store, now| store.renew(&current, &csr, &requester, now))
                    .await
            }
        };
        let issued = self.audited("renew", Some(node), requester, issued).await?;
        Ok(response::issued(&issued))
    }

    /// Works on the store on a thread that may block.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, Timestamp) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Refused> {
        let now = self.now().ok_or(Reason::Fault)?;
        let call = Arc::clone(&self.0.calls)
            .try_acquire_owned()
            .map_err(|_| Reason::Busy)?;
        let store = self.0.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _call = call;
            work(&store, now)
        });
        let done = done.await.map_err(|_| Reason::Fault)?;
        done.map_err(Refused::by_store)
    }

    /// Writes a refusal down that the store has not seen itself.
    async fn audited<T>(
        &self,
        operation: &'static str,
        node: Option<NodeId>,
        requester: String,
        result: Result<T, Refused>,
    ) -> Result<T, Refused> {
        if let Err(refused) = &result
            && !refused.is_recorded()
        {
            let line = refused.to_string();
            let recorded = self.with_store(move |store, now| {
                store.record_refusal(operation, node.as_ref(), &line, &requester, now)
            });
            if let Err(error) = recorded.await {
                tracing::warn!(%error, "a refusal is missing in the audit log");
            }
        }
        result
    }

    fn attempts<T>(&self, look: impl FnOnce(&mut Attempts) -> T) -> T {
        look(
            &mut self
                .0
                .attempts
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn now(&self) -> Option<Timestamp> {
        self.0.clock.current_time().map(Timestamp::from)
    }
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    CaCerts,
    CsrAttrs,
    SimpleEnroll,
    SimpleReenroll,
    Trust,
}

impl Operation {
    fn find(path: &str) -> Option<Self> {
        if path == TRUST_PATH {
            return Some(Self::Trust);
        }
        Some(match path.strip_prefix(PATH)? {
            "/cacerts" => Self::CaCerts,
            "/csrattrs" => Self::CsrAttrs,
            "/simpleenroll" => Self::SimpleEnroll,
            "/simplereenroll" => Self::SimpleReenroll,
            _ => return None,
        })
    }

    fn method(self) -> Method {
        match self {
            Self::CaCerts | Self::CsrAttrs => Method::GET,
            Self::SimpleEnroll | Self::SimpleReenroll | Self::Trust => Method::POST,
        }
    }
}

/// Takes user and password out of `Authorization: Basic` (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(token.trim()).ok()?);
    let (user, password) = str::from_utf8(&pair).ok()?.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}

/// Says where a stranger's request comes from, as far as the listener has told.
fn requester<B>(request: &Request<B>) -> (Option<IpAddr>, String) {
    let address = request.extensions().get::<SocketAddr>().map(SocketAddr::ip);
    let said = address.map_or_else(|| "enrolment".into(), |ip| format!("enrolment {ip}"));
    (address, said)
}

/// The address that a listener has seen, for [`Server::handle`].
pub(super) fn seen_from<B>(request: &mut Request<B>, address: SocketAddr) {
    let plain: IpAddr = address.ip().to_canonical();
    request
        .extensions_mut()
        .insert(SocketAddr::new(plain, address.port()));
}
