//! Request bodies: bounded in time and size before anything looks at them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use super::response::Refused;
use crate::{CertificateRequest, MAX_REQUEST_BYTES};

/// The longest body with a certificate request: in base64 with line breaks.
const MAX_REQUEST: usize = 2 * MAX_REQUEST_BYTES;

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request body must be for this server.
pub(super) trait RequestBody:
    Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send
{
}

impl<B> RequestBody for B where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send
{
}

/// Reads a body of this content type.
pub(super) async fn read<B: RequestBody>(
    request: Request<B>,
    kind: &'static str,
    limit: usize,
) -> Result<Bytes, Refused> {
    let said = request.headers().get(header::CONTENT_TYPE);
    let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    if !said.eq_ignore_ascii_case(kind) {
        let line = format!("the content type must be {kind}");
        return Err(Refused::line(StatusCode::UNSUPPORTED_MEDIA_TYPE, line));
    }
    // On the heap: the caller's body may be large, and this future sits in others.
    let body = Box::pin(Limited::new(request.into_body(), limit).collect());
    match timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => {
            let line = "the request is too long, or was cut off";
            Err(Refused::line(StatusCode::PAYLOAD_TOO_LARGE, line))
        }
        Err(_) => {
            let line = "the request did not arrive in time";
            Err(Refused::line(StatusCode::REQUEST_TIMEOUT, line))
        }
    }
}

/// Reads a PKCS#10 request in base64, as EST sends it, or in PEM.
pub(super) async fn certificate_request<B: RequestBody>(
    request: Request<B>,
) -> Result<CertificateRequest, Refused> {
    let body = read(request, "application/pkcs10", MAX_REQUEST).await?;
    let parsed = if body.starts_with(b"-----BEGIN") {
        str::from_utf8(&body).ok().map(CertificateRequest::from_pem)
    } else {
        let plain: Vec<u8> = body
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = STANDARD.decode(plain).ok();
        der.map(|der| CertificateRequest::from_der(&der))
    };
    match parsed {
        None => Err(Refused::bad_request("the request is not base64")),
        Some(Ok(request)) => Ok(request),
        Some(Err(error)) => Err(Refused::bad_request(error.to_string())),
    }
}
