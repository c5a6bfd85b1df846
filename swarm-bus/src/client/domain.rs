//! JetStream domains: streams on the other side of a leaf node's link.
//!
//! A server that is a leaf node has streams of its own, and so has its hub. Which of them a request
//! is for is said by its subject: `$JS.API.…` for the server that one is connected to,
//! `$JS.<domain>.API.…` for the one with that domain, wherever it is.
//! <https://docs.nats.io/running-a-nats-service/configuration/leafnodes/jetstream_leafnodes>

use super::Client;
use crate::{Subject, Token};
use std::fmt;
use std::sync::Arc;

impl Client {
    /// Returns a client over the same connection whose streams, consumers, buckets and objects are
    /// those of a JetStream domain. It costs nothing to make and to drop.
    ///
    /// What is published to a topic is stored by whichever stream has its subject, here or there;
    /// [`Stored::domain`](super::Stored::domain) says where that was.
    ///
    /// - The server on the other side may be of another version than the one that this client is
    ///   connected to, which is the one that is asked what it would ignore. What the other one
    ///   ignores is noticed when it answers ([`StreamError::Ignored`](crate::stream::StreamError)).
    /// - A server that has the domain itself takes it out of a request before it looks at the user's
    ///   permissions: there they are those for `$JS.API`, and a refusal comes as a timeout.
    /// - Changes of a bucket do not cross a leaf node's link by themselves: a watch finds them when
    ///   it looks of itself, after 20 s at most.
    ///
    /// ```no_run
    /// # use swarm_bus::{client::Client, Token};
    /// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = client.in_domain(Token::parse("hub0")?);
    /// println!("{} streams here, {} there", client.streams().await?.len(), hub.streams().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn in_domain(&self, domain: Token) -> Self {
        Self {
            domain: Some(Arc::new(domain)),
            ..self.clone()
        }
    }

    /// Returns the JetStream domain whose streams this client speaks of; `None` for those of the
    /// server that it is connected to.
    #[must_use]
    pub fn domain(&self) -> Option<&Token> {
        self.domain.as_deref()
    }

    /// Returns where a request of JetStream's API goes.
    pub(crate) fn api(&self, request: fmt::Arguments<'_>) -> String {
        api(self.domain(), request)
    }

    /// Returns where a key of a bucket is written: a server does not pass on what is published to
    /// the key itself.
    pub(crate) fn key(&self, key: Subject) -> Subject {
        match self.domain() {
            None => key,
            Some(_) => Subject::from_checked(self.api(format_args!("{key}"))),
        }
    }
}

fn api(domain: Option<&Token>, request: fmt::Arguments<'_>) -> String {
    match domain {
        None => format!("$JS.API.{request}"),
        Some(domain) => format!("$JS.{domain}.API.{request}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_stands_in_the_subject_of_a_request() {
        let info = || api(None, format_args!("STREAM.INFO.{}", "S"));
        assert_eq!(info(), "$JS.API.STREAM.INFO.S");
        let hub = Token::from_static("hub0");
        let request = api(Some(&hub), format_args!("STREAM.INFO.{}", "S"));
        assert_eq!(request, "$JS.hub0.API.STREAM.INFO.S");
    }
}
