//! What an enrolment server answers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use der::{Encode as _, oid::ObjectIdentifier};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{Reason, pkcs7, refusal};
use crate::{
    identity::SWARM_EXTENSION,
    store::{self, Issued},
};

const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";

/// The certificate alone (RFC 7030, 4.2.3); its issuers are in `cacerts`.
pub(super) fn issued(issued: &Issued) -> Response<Full<Bytes>> {
    certificates(&pkcs7::encode([issued.certificate.der()], &[]))
}

/// An operator has to approve first (RFC 7030, 4.2.3).
pub(super) fn pending() -> Response<Full<Bytes>> {
    let line = "an operator has to approve this; ask again later\n";
    let mut response = Response::new(Full::from(line));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("300"));
    response
}

/// Noted, and nothing to say to it.
pub(super) fn noted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A certs-only message.
pub(super) fn certificates(message: &[u8]) -> Response<Full<Bytes>> {
    in_base64(CERTS_ONLY, message)
}

/// Base64 in lines, which every decoder reads.
fn in_base64(kind: &'static str, der: &[u8]) -> Response<Full<Bytes>> {
    let text = STANDARD.encode(der);
    let mut lines = String::with_capacity(text.len() + text.len() / 64 + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        lines.push_str(line);
        lines.push('\n');
        rest = tail;
    }
    let mut response = Response::new(Full::from(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let encoding = HeaderName::from_static("content-transfer-encoding");
    headers.insert(encoding, HeaderValue::from_static("base64"));
    response
}

/// What a request should have (RFC 7030, 4.5.2): a P-256 key, the identity extension, and a
/// signature by ECDSA with SHA-256.
pub(super) fn csr_attributes() -> Response<Full<Bytes>> {
    let oid = |text: &str| {
        ObjectIdentifier::new_unwrap(text)
            .to_der()
            .expect("a constant identifier is encodable")
    };
    let attribute = |kind: &str, value: Vec<u8>| {
        pkcs7::tlv(0x30, &[oid(kind), pkcs7::tlv(0x31, &value)].concat())
    };
    let extension = SWARM_EXTENSION
        .to_der()
        .expect("a constant identifier is encodable");
    let key = attribute("1.2.840.10045.2.1", oid("1.2.840.10045.3.1.7"));
    let extensions = attribute("1.2.840.113549.1.9.14", extension);
    let wanted = [key, extensions, oid("1.2.840.10045.4.3.2")].concat();
    in_base64("application/csrattrs", &pkcs7::tlv(0x30, &wanted))
}

/// A response that refuses.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
pub(super) struct Refused {
    status: StatusCode,
    reason: Option<Reason>,
    line: String,
    /// Whether the audit log has it already, or shall not have it.
    recorded: bool,
}

impl Refused {
    pub(super) fn line(status: StatusCode, line: impl Into<String>) -> Self {
        Self {
            status,
            reason: None,
            line: line.into(),
            recorded: false,
        }
    }

    pub(super) fn bad_request(line: impl Into<String>) -> Self {
        Self {
            reason: Some(Reason::BadRequest),
            ..Self::line(StatusCode::BAD_REQUEST, line)
        }
    }

    pub(super) fn unauthorized(line: impl Into<String>) -> Self {
        Self {
            reason: Some(Reason::WrongSecret),
            ..Self::line(StatusCode::UNAUTHORIZED, line)
        }
    }

    /// Translates what the store refused, and has written down, or what it could not do.
    pub(super) fn by_store(error: store::Error) -> Self {
        let reason = reason(&error);
        if reason == Reason::Fault {
            tracing::error!(%error, "the authority's store failed");
        }
        Self::from(reason).recorded()
    }

    pub(super) fn recorded(self) -> Self {
        Self {
            recorded: true,
            ..self
        }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.recorded
    }

    pub(super) fn is_for(&self, reason: Reason) -> bool {
        self.reason == Some(reason)
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(format!("{}\n", self.line)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        if let Some(reason) = self.reason {
            let name = HeaderName::from_static(refusal::HEADER);
            headers.insert(name, HeaderValue::from_static(reason.token()));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let ask = HeaderValue::from_static("Basic realm=\"enrolment\"");
                headers.insert(header::WWW_AUTHENTICATE, ask);
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        let status = match reason {
            Reason::WrongSecret => StatusCode::UNAUTHORIZED,
            Reason::Used
            | Reason::Expired
            | Reason::Cancelled
            | Reason::Revoked
            | Reason::StillValid
            | Reason::TooLate
            | Reason::Denied => StatusCode::FORBIDDEN,
            Reason::Taken => StatusCode::CONFLICT,
            Reason::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Reason::BadRequest => StatusCode::BAD_REQUEST,
            Reason::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Reason::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            reason: Some(reason),
            line: reason.to_string(),
            // The log cannot be written now.
            recorded: matches!(reason, Reason::Busy | Reason::Fault),
        }
    }
}

fn reason(error: &store::Error) -> Reason {
    use store::Error;
    match error {
        Error::InviteUnknown | Error::InviteWrong | Error::InviteMalformed => Reason::WrongSecret,
        Error::InviteSpent { .. } => Reason::Used,
        Error::InviteExpired(_) => Reason::Expired,
        Error::InviteCancelled => Reason::Cancelled,
        Error::IdInUse { .. }
        | Error::KeyInUse { .. }
        | Error::AddressInUse { .. }
        | Error::DnsNameInUse { .. } => Reason::Taken,
        Error::Revoked(_) | Error::UnknownSerial(_) => Reason::Revoked,
        Error::UnknownRequester => Reason::WrongSecret,
        Error::StillLive(_) => Reason::StillValid,
        Error::TooLongAgo { .. } => Reason::TooLate,
        Error::ReenrolmentDenied(_) => Reason::Denied,
        Error::Held { .. } => Reason::Busy,
        _ => Reason::Fault,
    }
}
