//! The way to a homeserver: an address and the HTTP client that goes there.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::Value;

use crate::error::Error;

/// How long one request may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers beyond this are not read (an account's device list is some 100 bytes a device).
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The way to a homeserver.
///
/// No proxy, no redirect, no system trust store, no discovery: it goes where it was told to go,
/// and nowhere else.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) url: reqwest::Url,
    pub(crate) http: reqwest::Client,
}

impl Endpoint {
    /// TLS by a configuration of one's own: trust, client certificate, key exchange.
    ///
    /// New connections ask the configuration's verifier and certificate resolver anew, so a
    /// rotated certificate is used without making a session again; connections that stand idle
    /// are closed within a minute. Resumption passes a verifier by: leave it off in a
    /// configuration whose verifier looks at revocation.
    ///
    /// # Errors
    /// When the address is not `https://…`.
    pub fn tls(url: &str, config: rustls::ClientConfig) -> Result<Self, Error> {
        let parsed = parse(url, "https", "it must be https")?;
        Self::build(parsed, client().tls_backend_preconfigured(config))
    }

    /// Plain HTTP on this machine's loopback, as the homeserver's neighbour.
    ///
    /// # Errors
    /// When the address is not `http://` on a loopback address.
    pub fn loopback(url: &str) -> Result<Self, Error> {
        let parsed = parse(url, "http", "it must be http")?;
        let loopback = match parsed.host_str() {
            Some("localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
            None => false,
        };
        if !loopback {
            return Err(Error::Url {
                url: url.to_owned(),
                reason: "plain http is for loopback alone",
            });
        }
        Self::build(parsed, client().tls_certs_only([]))
    }

    /// Plain HTTP over a unix socket.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn unix(socket: &Path) -> Result<Self, Error> {
        let url = parse("http://localhost/", "http", "it must be http")?;
        Self::build(url, client().tls_certs_only([]).unix_socket(socket))
    }

    fn build(url: reqwest::Url, client: reqwest::ClientBuilder) -> Result<Self, Error> {
        let http = client.build().map_err(|error| Error::Http(error.into()))?;
        Ok(Self { url, http })
    }

    /// The address.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// One JSON request; the answer of a success, or the typed error.
    pub(crate) async fn request(
        &self,
        method: reqwest::Method,
        path: &[&str],
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Url {
                url: self.url.to_string(),
                reason: "it has no path",
            })?
            .pop_if_empty()
            .extend(path);
        let mut request = self.http.request(method, url).timeout(REQUEST_TIMEOUT);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let unreachable = |error: reqwest::Error| Error::Unreachable(error.without_url().into());
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Error::Answer("longer than 16 MiB".into()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).map_err(|error| Error::Answer(error.into()));
        }
        Err(refusal(
            status.as_u16(),
            &serde_json::from_slice(&bytes).unwrap_or_default(),
        ))
    }
}

fn parse(url: &str, scheme: &str, reason: &'static str) -> Result<reqwest::Url, Error> {
    let error = |reason| Error::Url {
        url: url.to_owned(),
        reason,
    };
    let parsed = reqwest::Url::parse(url).map_err(|_| error("not an address"))?;
    if parsed.scheme() != scheme {
        return Err(error(reason));
    }
    if parsed.host_str().is_none() || parsed.query().is_some() || !parsed.username().is_empty() {
        return Err(error("a host, a port and a path only"));
    }
    Ok(parsed)
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(60))
        // A link that died unsaid is given up within some thirty seconds.
        .tcp_keepalive(Duration::from_secs(10))
        .tcp_keepalive_interval(Duration::from_secs(5))
        .tcp_keepalive_retries(4)
        .user_agent(concat!("swarm-matrix/", env!("CARGO_PKG_VERSION")))
}

/// A Matrix error as JSON, typed.
pub(crate) fn refusal(status: u16, body: &Value) -> Error {
    let text = |field: &str| -> String {
        let value = body.get(field).and_then(Value::as_str).unwrap_or_default();
        value
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect()
    };
    let (code, message) = (text("errcode"), text("error"));
    match code.as_str() {
        "M_USER_LOCKED" | "M_USER_DEACTIVATED" | "M_USER_SUSPENDED" => Error::Revoked(message),
        "M_LIMIT_EXCEEDED" => Error::RateLimited {
            retry_after: body
                .get("retry_after_ms")
                .and_then(Value::as_u64)
                .map(Duration::from_millis),
        },
        _ => Error::Refused {
            status,
            code,
            message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for good in [
            "http://127.0.0.1:8008",
            "http://[::1]:8008",
            "http://localhost:8008/",
        ] {
            assert!(Endpoint::loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.42.0.1:8008",
            "https://127.0.0.1",
            "http://localhost.example.org",
            "http://user@127.0.0.1",
            "127.0.0.1:8008",
        ] {
            assert!(Endpoint::loopback(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_locked_account_is_an_error_of_its_own() {
        let locked = json!({"errcode": "M_USER_LOCKED", "error": "This account has been locked"});
        assert!(matches!(refusal(401, &locked), Error::Revoked(_)));
        let slow = json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500});
        assert!(matches!(
            refusal(429, &slow),
            Error::RateLimited { retry_after: Some(after) } if after.as_millis() == 1500
        ));
        assert!(matches!(
            refusal(502, &Value::Null),
            Error::Refused { status: 502, .. }
        ));
    }
}
