//! One HTTP/1.1 connection of a member, request by request.

use std::{
    error::Error as StdError,
    net::IpAddr,
    pin::pin,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{Either, Empty, Full};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{self as client, SendRequest},
    server::conn::http1 as server,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    Access, Limits, PathError, PathPrefix, Rules, Upstream, counters::Live, headers, path::Judged,
    upstream::Duplex,
};
use crate::tls::Peer;

/// The smallest limit on request heads that hyper takes.
const MIN_HEAD: usize = 8192;

type RequestBody = Either<Incoming, Empty<Bytes>>;
type ResponseBody = Either<Incoming, Full<Bytes>>;

/// Everything that the requests of one connection share. Dropping it closes the link to the
/// service.
pub(super) struct Proxy<'a> {
    pub(super) rules: &'a Rules,
    pub(super) limits: &'a Limits,
    pub(super) live: &'a Live,
    pub(super) upstream: &'a Upstream,
    pub(super) peer: &'a Peer,
    pub(super) address: IpAddr,
    /// The kept-alive connection to the service: one for each connection of a peer, so that a
    /// request never waits behind another peer's.
    link: Mutex<Option<SendRequest<RequestBody>>>,
    /// Drives the links; aborted when dropped.
    drivers: Mutex<JoinSet<()>>,
    /// Both ends of a connection that changes its protocol.
    upgraded: Mutex<Option<(OnUpgrade, OnUpgrade)>>,
}

impl<'a> Proxy<'a> {
    pub(super) fn new(
        rules: &'a Rules,
        limits: &'a Limits,
        live: &'a Live,
        upstream: &'a Upstream,
        peer: &'a Peer,
        address: IpAddr,
    ) -> Self {
        Self {
            rules,
            limits,
            live,
            upstream,
            peer,
            address,
            link: Mutex::default(),
            drivers: Mutex::default(),
            upgraded: Mutex::default(),
        }
    }

    /// Serves requests until the peer hangs up, or until the request at hand is answered once
    /// `draining` turns true.
    pub(super) async fn run(
        &self,
        stream: impl Duplex + 'static,
        mut draining: watch::Receiver<bool>,
    ) {
        let service = service_fn(async |request| Ok::<_, hyper::Error>(self.answer(request).await));
        let connection = server::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(self.limits.max_head.max(MIN_HEAD))
            .max_headers(self.limits.max_headers)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            _ = async { draining.wait_for(|draining| *draining).await.map(drop) } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer.id(), %error, "connection ended");
            return;
        }
        let upgraded = lock(&self.upgraded).take();
        if let Some((peer, service)) = upgraded
            && let Ok((peer, service)) = tokio::try_join!(peer, service)
        {
            let (mut peer, mut service) = (TokioIo::new(peer), TokioIo::new(service));
            // How a tunnel ends is between its two ends.
            let _ = tokio::io::copy_bidirectional(&mut peer, &mut service).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        match self.forward(request).await {
            Ok(response) => response,
            Err(refusal) => {
                let count = match refusal {
                    Refusal::Outsider => &self.live.refused_access,
                    Refusal::Closed | Refusal::Limited => &self.live.refused_path,
                    Refusal::Long | Refusal::Malformed(_) | Refusal::Path(_) => {
                        &self.live.refused_request
                    }
                    Refusal::Down => &self.live.upstream_down,
                    Refusal::Slow => &self.live.upstream_slow,
                };
                count.one();
                tracing::debug!(peer = %self.peer.id(), %refusal, "request refused");
                refusal.into_response()
            }
        }
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if !self.rules.access.admits(self.peer.certificate()) {
            return Err(Refusal::Outsider);
        }
        // hyper stops reading at the limit, but takes a longer head that came in one piece
        if least_length(&request) > self.limits.max_head.max(MIN_HEAD) {
            return Err(Refusal::Long);
        }
        let target = origin_form(request.uri(), request.method())?;
        let judged = Judged::new(target.path())?;
        if self
            .rules
            .closed
            .iter()
            .any(|prefix| judged.is_under(prefix))
        {
            return Err(Refusal::Closed);
        }
        let certificate = self.peer.certificate();
        let is_kept_out = |(prefix, access): &(PathPrefix, Access)| {
            judged.is_under(prefix) && !access.admits(certificate)
        };
        if self.rules.limited.iter().any(is_kept_out) {
            return Err(Refusal::Limited);
        }
        *request.uri_mut() = target;
        framing(&request)?;

        let wanted = headers::strip_hop_by_hop(request.headers_mut())
            .filter(|protocol| self.rules.allows_upgrade(protocol));
        // The server half of the front answers `100-continue` itself, once the service reads.
        request.headers_mut().remove(header::EXPECT);
        headers::set_identity(request.headers_mut(), self.rules, certificate, self.address);
        let peer_upgrade = wanted.map(|protocol| {
            headers::set_upgrade(request.headers_mut(), protocol);
            hyper::upgrade::on(&mut request)
        });

        let mut response = self.send(request).await?;
        self.live.forwarded.one();
        let agreed = headers::strip_hop_by_hop(response.headers_mut());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // A service that changes the protocol unasked would leave both ends at a loss.
            let (Some(peer), Some(protocol)) = (peer_upgrade, agreed) else {
                return Err(Refusal::Down);
            };
            headers::set_upgrade(response.headers_mut(), protocol);
            *lock(&self.upgraded) = Some((peer, hyper::upgrade::on(&mut response)));
        }
        Ok(response.map(Either::Left))
    }

    /// Sends over the kept link if there is one, and over a new one where that is safe.
    async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Refusal> {
        // The service may close a kept link at any moment. Only a request that does no harm twice,
        // and that can be sent twice, may run into that.
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        let mut request = request.map(Either::Left);
        let kept = lock(&self.link).take();
        if let Some(mut link) = kept
            && repeatable
            && matches!(timeout(self.limits.connect, link.ready()).await, Ok(Ok(())))
        {
            let (parts, _) = request.into_parts();
            let copy = Request::from_parts(parts.clone(), Either::Right(Empty::new()));
            if let Ok(response) = self.send_over(link, copy).await? {
                return Ok(response);
            }
            request = Request::from_parts(parts, Either::Right(Empty::new()));
        }
        let link = self.link().await?;
        self.send_over(link, request)
            .await?
            .map_err(|error| self.down(&error))
    }

    /// Sends over one link, which is kept if it answers.
    async fn send_over(
        &self,
        mut link: SendRequest<RequestBody>,
        request: Request<RequestBody>,
    ) -> Result<hyper::Result<Response<Incoming>>, Refusal> {
        let answered = timeout(self.limits.response, link.send_request(request)).await;
        let answered = answered.map_err(|_| Refusal::Slow)?;
        if answered.is_ok() {
            *lock(&self.link) = Some(link);
        }
        Ok(answered)
    }

    async fn link(&self) -> Result<SendRequest<RequestBody>, Refusal> {
        let stream = self.upstream.connect(self.limits.connect).await;
        let stream = stream.map_err(|error| self.down(&error))?;
        let (link, driver) = client::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.down(&error))?;
        let mut drivers = lock(&self.drivers);
        while drivers.try_join_next().is_some() {}
        drivers.spawn(async move {
            // Its errors reach the request that was under way.
            let _ = driver.with_upgrades().await;
        });
        Ok(link)
    }

    fn down(&self, error: &(dyn StdError + 'static)) -> Refusal {
        tracing::warn!(upstream = %self.upstream, error, "the service does not answer");
        Refusal::Down
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a request target of the form `/path?query`, the only one that a service expects.
fn origin_form(uri: &Uri, method: &Method) -> Result<Uri, Refusal> {
    if uri.scheme().is_some() || uri.authority().is_some() || method == Method::CONNECT {
        return Err(Refusal::Malformed("this is not a forward proxy"));
    }
    Ok(uri.clone())
}

/// Returns the length of a request's head in bytes, less the blanks around its headers' values.
fn least_length<B>(request: &Request<B>) -> usize {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + ":".len() + value.len() + "\r\n".len()
    };
    let first = request.method().as_str().len() + "  HTTP/1.1\r\n".len();
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    first + target + request.headers().iter().map(header).sum::<usize>() + "\r\n".len()
}

/// Refuses what two readers could take for different messages. Of a length beside chunks the
/// server half of the front has already removed the length (RFC 9112, 6.3).
fn framing(request: &Request<Incoming>) -> Result<(), Refusal> {
    let headers = request.headers();
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(Refusal::Malformed("the length of the body is given twice"));
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Refusal::Malformed("more than one host header"));
    }
    Ok(())
}

/// Why a request is answered by the front itself.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this member may not use this service")]
    Outsider,
    #[error("this path is closed")]
    Closed,
    #[error("this path is not for this member")]
    Limited,
    #[error("the head of the request is too long")]
    Long,
    #[error("{0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("the service is down")]
    Down,
    #[error("the service took too long to answer")]
    Slow,
}

impl Refusal {
    fn into_response(self) -> Response<ResponseBody> {
        let status = match self {
            Self::Outsider | Self::Closed | Self::Limited => StatusCode::FORBIDDEN,
            Self::Long => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed(_) | Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::Down => StatusCode::BAD_GATEWAY,
            Self::Slow => StatusCode::GATEWAY_TIMEOUT,
        };
        let line = Bytes::from(format!("{self}\n"));
        let mut response = Response::new(Either::Right(Full::new(line)));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }
}
