//! What a member knows of roots and authorities, told to the authority: it retires none before
//! everybody who matters knows the next one.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};

use super::{AttemptError, Client, JoinError, client::refused, error::Answer};
use crate::{
    Certificate, Fingerprint, Trust,
    tls::{Expected, MeshTls},
};

/// Where members report what they trust.
pub const TRUST_PATH: &str = "/.well-known/swarm/trust";

/// The longest report, in bytes: more roots and authorities than any trust holds.
pub(super) const MAX_REPORT: usize = 16 * 1024;
/// The most fingerprints in one report.
const MAX_FINGERPRINTS: usize = 128;

impl Client {
    /// Tells the authority which roots and issuing authorities this node knows, by their
    /// fingerprints, over mutual TLS.
    ///
    /// An authority that rolls over waits for these reports. To be sent after a start, and when
    /// roots or issuing authorities have changed.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn report_trust(
        &self,
        tls: &MeshTls,
        authority: &Expected,
        addresses: &[SocketAddr],
    ) -> Result<(), JoinError> {
        let body = Bytes::from(write(&tls.trust()));
        let config = tls.client_config(authority.clone(), &[b"http/1.1"]);
        let mut tried = Vec::new();
        for &socket in addresses {
            let attempt = async {
                let request = Request::post(format!("https://{socket}{TRUST_PATH}"))
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(body.clone())
                    .map_err(|_| AttemptError::BadAnswer("an address that is none"))?;
                let response = self.exchange(socket, &config, request).await?;
                match response.status() {
                    StatusCode::NO_CONTENT => Ok(()),
                    _ => Err(refused(&response)),
                }
            };
            match attempt.await {
                Ok(()) => return Ok(()),
                Err(Answer::Final(error)) => return Err(error),
                Err(Answer::TryNext(error)) => tried.push((socket.to_string(), error)),
            }
        }
        Err(JoinError::from_attempts(tried))
    }
}

fn write(trust: &Trust) -> Vec<u8> {
    let known: Vec<Fingerprint> = trust
        .roots()
        .chain(trust.issuers())
        .map(Certificate::fingerprint)
        .take(MAX_FINGERPRINTS)
        .collect();
    serde_json::to_vec(&known).expect("fingerprints are text")
}

/// Reads a report: a JSON list of fingerprints.
pub(super) fn read(body: &[u8]) -> Result<Vec<Fingerprint>, &'static str> {
    let known: Vec<Fingerprint> =
        serde_json::from_slice(body).map_err(|_| "the report is no JSON list of fingerprints")?;
    if known.len() > MAX_FINGERPRINTS {
        return Err("the report lists too many fingerprints");
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_bounded_list_of_fingerprints() {
        let known: Vec<Fingerprint> = (0..MAX_FINGERPRINTS)
            .map(|n| Fingerprint([n as u8; 32]))
            .collect();
        let body = serde_json::to_vec(&known).unwrap();
        assert!(body.len() <= MAX_REPORT);
        assert_eq!(read(&body), Ok(known.clone()));
        assert_eq!(read(b"[]"), Ok(Vec::new()));
        let many = [&known[..], &known[..1]].concat();
        assert!(read(&serde_json::to_vec(&many).unwrap()).is_err());
        for bad in [
            &b""[..],
            b"{}",
            b"[1]",
            b"[\"00\"]",
            b"[] []",
            &[b'['; 10_000],
        ] {
            assert!(read(bad).is_err());
        }
    }
}
