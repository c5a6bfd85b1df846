//! One HTTPS request to one address: a client small enough to audit.
//!
//! It follows no redirect, keeps no connection, asks no proxy and no resolver, and bounds both time
//! and memory. With a configuration of [`MeshTls`](super::MeshTls) it is a mutual-TLS client.
//!
//! ```no_run
//! use swarm_pki::tls::{Expected, MeshTls, http};
//!
//! # async fn example(tls: MeshTls, hub: swarm_pki::NodeId) -> Result<(), Box<dyn std::error::Error>> {
//! let config = tls.client_config(Expected::Node(hub), &[b"http/1.1"]);
//! let request = ::http::Request::get("https://hub/roster").body(Default::default())?;
//! let response = http::request("10.44.0.1:8443".parse()?, &config, request, &http::Limits::default()).await?;
//! println!("{} bytes", response.body().len());
//! # Ok(())
//! # }
//! ```

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::error::HandshakeError;

/// What one exchange may cost.
///
/// # Defaults
/// 10 s from connecting to the last byte, 1 MiB of body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The whole exchange, from connecting to the last byte of the body.
    pub time: Duration,
    /// The largest response body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            body: 1024 * 1024,
        }
    }
}

/// Says why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address does not take connections.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// No TLS session: the certificate of the server, or ours at the server, is not accepted. In
    /// TLS 1.3 the server says so only after our side of the handshake is over.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The connection broke, or the server does not speak HTTP/1.1.
    ///
    #[error("the exchange failed")]
    Http(#[source] hyper::Error),
    /// The response body is larger than [`Limits::body`].
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
    /// The exchange took longer than [`Limits::time`].
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

/// Sends a request to an address and reads the whole response.
///
/// The request's URI may be absolute (`https://host/path`): the host then becomes the TLS server
/// name and the `Host` header; otherwise the address is both.
///
/// # Errors
/// No TLS session, no complete response within the limits. A response of any status is a success.
pub async fn request(
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
    request: Request<Bytes>,
    limits: &Limits,
) -> Result<Response<Bytes>, Error> {
    let exchange = exchange(address, Arc::clone(tls), request, limits.body);
    timeout(limits.time, Box::pin(exchange))
        .await
        .map_err(|_| Error::Timeout(limits.time))?
}

async fn exchange(
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    mut request: Request<Bytes>,
    limit: usize,
) -> Result<Response<Bytes>, Error> {
    let name = request
        .uri()
        .host()
        .and_then(|host| ServerName::try_from(host.to_owned()).ok());
    let name = name.unwrap_or_else(|| ServerName::from(address.ip()));
    let authority = request
        .uri()
        .authority()
        .map_or_else(|| address.to_string(), ToString::to_string);
    if let Ok(host) = HeaderValue::try_from(authority) {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);

    let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    let connector = tokio_rustls::TlsConnector::from(tls);
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(HandshakeError::from)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Dropped, and with it the connection, as soon as this exchange ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender
        .send_request(request.map(Full::new))
        .await
        .map_err(broken)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        match error.downcast::<hyper::Error>() {
            Ok(error) => broken(*error),
            Err(error) => {
                debug_assert!(error.is::<LengthLimitError>());
                Error::TooLarge(limit)
            }
        }
    })?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

/// Tells a refusal of our certificate from a connection that broke.
fn broken(error: hyper::Error) -> Error {
    match HandshakeError::in_chain(&error) {
        Some(refusal) => Error::Handshake(refusal),
        None => Error::Http(error),
    }
}
