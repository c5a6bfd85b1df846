//! Where to connect, as whom, and how patiently.

use crate::Token;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The address of a NATS server: `host:port`, `nats://host:port`, `tls://host`, `[::1]:4222`.
///
/// The host is what the server's certificate must name. A port that is not given is 4222.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddr {
    host: String,
    port: u16,
}

/// A text is no [`ServerAddr`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a server")]
pub struct ParseServerAddrError(String);

impl ServerAddr {
    /// Returns the host: a DNS name or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ServerAddr {
    type Err = ParseServerAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseServerAddrError(text.chars().take(120).collect());
        let rest = ["nats://", "tls://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']').ok_or_else(fail)?;
                host.parse::<Ipv6Addr>().map_err(|_| fail())?;
                (
                    host,
                    port.strip_prefix(':')
                        .or_else(|| port.is_empty().then_some("4222")),
                )
            }
            None if rest.parse::<Ipv6Addr>().is_ok() => (rest, Some("4222")),
            None => rest
                .split_once(':')
                .map_or((rest, Some("4222")), |(host, port)| (host, Some(port))),
        };
        let port = port
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0)
            .ok_or_else(fail)?;
        rustls::pki_types::ServerName::try_from(host).map_err(|_| fail())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(host)) => write!(f, "[{host}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// By which way a client reaches its servers.
#[derive(Clone)]
pub(super) enum Way {
    /// TCP and TLS.
    Tls(Arc<rustls::ClientConfig>),
    /// A server in this process; not there outside of tests.
    #[cfg(feature = "testing")]
    InProcess(Arc<dyn Connector>),
}

/// Where connections to a server in this process come from.
#[cfg(feature = "testing")]
pub(crate) trait Connector: Send + Sync {
    /// Opens a connection.
    fn connect(&self) -> std::io::Result<tokio::io::DuplexStream>;
}

/// How a [`Client`](super::Client) connects.
///
/// # Defaults
/// 5 s for a connection attempt and for each wait, attempts 0.1 s to 10 s apart, a dead link noticed
/// after 4.5 s, 8 MiB on the way out, 8,192 messages or 16 MiB in each subscription, 1,024 messages
/// or 1 MiB kept while there is no connection, given up after three refusals in a row.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Who connects: the inbox is `_INBOX_<node>.>`.
    pub node: Token,
    /// The name shown in the server's list of connections; the node's at first.
    pub name: String,
    /// Where to connect: each in turn, and no others, whatever a server advertises.
    pub servers: Vec<ServerAddr>,
    pub(super) way: Way,
    /// How long one attempt may take: name resolution, TCP, TLS and greeting together.
    pub connect_timeout: Duration,
    /// How long an operation waits that is given no time of its own.
    pub timeout: Duration,
    /// The shortest pause between two rounds of attempts; it doubles with each.
    pub backoff_min: Duration,
    /// The longest pause between two rounds of attempts. Each is shortened at random by up to half.
    pub backoff_max: Duration,
    /// How long the line may be quiet before it is asked whether it lives.
    pub ping_interval: Duration,
    /// How long the line may be quiet before it counts as dead.
    pub dead_after: Duration,
    /// How many refusals in a row end the attempts ([`State::Refused`](super::State::Refused)).
    pub refusals: u32,
    /// How many bytes may wait to be sent.
    pub outbound_bytes: usize,
    /// How many messages of topics with [`Offline::DropOldest`](crate::Offline::DropOldest) are kept
    /// while there is no connection.
    pub offline_messages: usize,
    /// How many bytes they may take.
    pub offline_bytes: usize,
    /// How many messages may wait in a subscription.
    pub subscription_messages: usize,
    /// How many bytes may wait in a subscription.
    pub subscription_bytes: usize,
    /// The largest message accepted from the server, in bytes.
    pub max_message: usize,
    /// How long a replaced connection stays for answers that belong to it.
    pub linger: Duration,
}

impl Options {
    /// Describes a client with the defaults.
    ///
    /// `tls` proves who the node is and verifies who the server is. Its resolver and verifier may
    /// change what they say: each connection asks anew. Session resumption is turned off, because a
    /// resumed session asks neither.
    #[must_use]
    pub fn new(node: Token, servers: Vec<ServerAddr>, mut tls: rustls::ClientConfig) -> Self {
        tls.resumption = rustls::client::Resumption::disabled();
        Self::by(node, servers, Way::Tls(Arc::new(tls)))
    }

    /// Describes a client of a server in this process.
    #[cfg(feature = "testing")]
    pub(crate) fn in_process(node: Token, connector: Arc<dyn Connector>) -> Self {
        let server = ServerAddr {
            host: "in-process".to_owned(),
            port: 4222,
        };
        Self::by(node, vec![server], Way::InProcess(connector))
    }

    fn by(node: Token, servers: Vec<ServerAddr>, way: Way) -> Self {
        Self {
            name: node.to_string(),
            node,
            servers,
            way,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            ping_interval: Duration::from_millis(1500),
            dead_after: Duration::from_millis(4500),
            refusals: 3,
            outbound_bytes: 8 << 20,
            offline_messages: 1024,
            offline_bytes: 1 << 20,
            subscription_messages: 8192,
            subscription_bytes: 16 << 20,
            max_message: 8 << 20,
            linger: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_all_their_spellings() {
        for (text, shown) in [
            ("10.77.0.1", "10.77.0.1:4222"),
            ("nats://hub.swarm:4223", "hub.swarm:4223"),
            ("tls://hub/", "hub:4222"),
            ("[fd00::1]:4300", "[fd00::1]:4300"),
            ("fd00::1", "[fd00::1]:4222"),
            ("[::1]", "[::1]:4222"),
        ] {
            assert_eq!(text.parse::<ServerAddr>().unwrap().to_string(), shown);
        }
        for bad in [
            "", ":1", "a:b", "a:0", "a:70000", "http://a", "[::1", "[x]:1", "a b", "u@h",
        ] {
            assert!(bad.parse::<ServerAddr>().is_err(), "{bad}");
        }
    }
}
