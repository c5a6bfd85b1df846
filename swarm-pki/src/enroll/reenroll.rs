//! The way back for a node whose certificate came to its end while it was away.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{StatusCode, header};

use super::{
    AttemptError, Client, ClockError, Enrolled, JoinError,
    client::{TOLERATED_SKEW, post},
    error::Answer,
    pinning::unverified_client_config,
};
use crate::{
    Certificate, CertificateRequest, Trust,
    tls::{Expected, anonymous_client_config},
};

/// When to ask again if the authority does not say.
const RETRY_AFTER: Duration = Duration::from_secs(300);
/// An authority cannot put a node off for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// What an authority answers to a node that wants to come back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reenrolled {
    /// The node has a certificate again.
    Enrolled(Box<Enrolled>),
    /// An operator has to approve it first.
    Pending {
        /// After how long to ask again.
        retry_after: Duration,
    },
}

impl Client {
    /// Asks for a certificate with nothing but the key of the last one, after that came to its
    /// end: it expired while the node was away, perhaps with its whole chain of authorities.
    ///
    /// `request` must be signed by the key of the node's newest certificate; that is the proof, and
    /// the new certificate is for the same key. An operator has to approve it; until then the
    /// answer is [`Reenrolled::Pending`].
    ///
    /// `trust` is what the node last believed, however old. What the authority has to say is
    /// first fetched over a connection that is not verified yet; links of roots that the node
    /// knows lead to the root of today (RFC 7030, 4.1.3; RFC 4210, 4.4). Only then the request is
    /// shown, over a connection that is verified down from there, to the expected node.
    ///
    /// # Errors
    /// [`JoinError::WrongRoot`] when no link leads from what the node knows to what the authority
    /// has; else as [`join`](Self::join).
    pub async fn reenroll(
        &self,
        trust: &Trust,
        authority: &Expected,
        addresses: &[SocketAddr],
        request: &CertificateRequest,
    ) -> Result<Reenrolled, JoinError> {
        let mut tried = Vec::new();
        for &socket in addresses {
            let attempt = self.reenroll_at(socket, trust.clone(), authority, request);
            match Box::pin(attempt).await {
                Ok(answer) => return Ok(answer),
                Err(Answer::Final(error)) => return Err(error),
                Err(Answer::TryNext(error)) => tried.push((socket.to_string(), error)),
            }
        }
        Err(JoinError::from_attempts(tried))
    }

    async fn reenroll_at(
        &self,
        socket: SocketAddr,
        mut trust: Trust,
        authority: &Expected,
        request: &CertificateRequest,
    ) -> Result<Reenrolled, Answer> {
        let unverified = unverified_client_config(Arc::clone(&self.clock));
        let (bundle, authority_clock) = self.ca_certs(socket, &unverified).await?;
        let known = trust.roots().next().map(Certificate::fingerprint);
        trust.merge(&bundle, self.now());
        if !trust.roots().any(|root| bundle.roots.contains(root))
            && let Some(expected) = known
        {
            let found = bundle.roots.iter().map(Certificate::fingerprint).collect();
            return Err(AttemptError::WrongRoot { expected, found }.into());
        }
        let skew = authority_clock.and_then(|theirs| ClockError::between(self.now(), theirs));
        let attempt = async {
            let config = anonymous_client_config(
                trust.clone(),
                authority.clone(),
                &[b"http/1.1"],
                Arc::clone(&self.clock),
            );
            let post = post(socket, "simpleenroll", request)?;
            let response = self.exchange(socket, &config, post).await?;
            if response.status() == StatusCode::ACCEPTED {
                let after = response.headers().get(header::RETRY_AFTER);
                let after = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
                let retry_after = after.map_or(RETRY_AFTER, Duration::from_secs);
                return Ok(Reenrolled::Pending {
                    retry_after: retry_after.min(LONGEST_WAIT),
                });
            }
            let node = request.claimed_node().map(|claimed| &claimed.node);
            let enrolled = self.issued(response, trust, node, request, socket)?;
            Ok(Reenrolled::Enrolled(Box::new(enrolled)))
        };
        attempt
            .await
            .map_err(|answer: Answer| answer.blame(skew, TOLERATED_SKEW))
    }
}
