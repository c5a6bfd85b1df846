//! rustls for the mesh: mutual TLS always, decided by the certificates and CRLs of the moment.
//!
//! [`MeshTls`] is a handle to what a node knows: its own chain and key, and its
//! [`Trust`]. Every configuration made from it stays bound to it: certificate, authorities and CRL
//! are exchanged under running listeners and clients, and no connection is dropped for it but those
//! of peers that are trusted no more.
//!
//! ```text
//!   replace_identity ──┐               ┌── server_config ──▶ rustls, hyper, …
//!   set_trust ─────────┼──▶ MeshTls ───┼── client_config ──▶ rustls, reqwest, async-nats, …
//!   update_trust ──────┘      │        └── accept, connect ─▶ stream + Peer
//!                             └── subscribe, guard: ends a live connection when trust ends
//! ```
//!
//! # Invariants
//! - TLS 1.3 alone, on aws-lc-rs, the post-quantum X25519MLKEM768 preferred.
//! - Identity is what the certificate says: its SPIFFE URI and roles, checked against
//!   [`Expected`], by servers too. The DNS name or address that a client dials is not compared: members are found
//!   by name in rosters, not by DNS, and addresses change.
//! - A certificate counts on the side of a connection that its extended key usage allows.
//! - Revocation is looked up at every handshake. There is no session resumption, which would skip
//!   it: servers send no tickets and clients keep none.
//!
//! # Example
//! ```no_run
//! use swarm_pki::{Certificate, NodeId, PrivateKey, Trust, tls::{ClientAuth, Expected, MeshTls}};
//! use tokio::{io::AsyncWriteExt, net::{TcpListener, TcpStream}};
//!
//! # async fn example(chain: &[Certificate], key: PrivateKey, trust: Trust, hub: NodeId)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let tls = MeshTls::new(chain, key, trust)?;
//!
//! // A server that names its peers, and hangs up on one that is revoked.
//! let config = tls.server_config(ClientAuth::Required, &[]);
//! let listener = TcpListener::bind("10.44.0.1:7000").await?;
//! let (stream, _) = listener.accept().await?;
//! let (mut stream, peer) = tls.accept(&config, stream).await?;
//! let peer = peer.expect("a certificate is required");
//! tokio::select! {
//!     why = tls.guard(&peer) => println!("{} is cut off: {why}", peer.id()),
//!     sent = stream.write_all(b"welcome") => sent?,
//! }
//!
//! // A client that talks to this one node alone.
//! let stream = TcpStream::connect("10.44.0.1:7000").await?;
//! let (mut stream, _) = tls.connect(Expected::Node(hub), &[], stream).await?;
//! stream.write_all(b"hello").await?;
//! # Ok(())
//! # }
//! ```

mod error;
#[cfg(feature = "http")]
pub mod http;
mod peer;
mod recent;
mod signing;
mod verifier;

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, kx_group},
    },
    server::NoServerSessionStorage,
    sign::CertifiedKey,
    time_provider::{DefaultTimeProvider, TimeProvider},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub use error::{HandshakeError, OwnCertificateError};
pub use peer::{Peer, PeerCertificate};
pub use verifier::{Expected, PeerName, WrongPeer};

use crate::{
    Certificate, NodeCertificate, ServiceCertificate, ServiceName, Signer, Timestamp, Trust,
};
use recent::Recent;
use signing::{HandshakeKey, OwnCertificate};
use verifier::{PeerVerifier, TrustSource};

/// Whom a server lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// Any member: every client must have a trusted certificate.
    Required,
    /// These members alone: others are refused in the handshake.
    Expected(Expected),
    /// A client may come without; one that it does present must be trusted all the same. For
    /// enrolment.
    Optional,
}

/// A node's TLS: its certificate and key and what it trusts, exchangeable at any time.
///
/// Clones share everything.
#[derive(Clone)]
pub struct MeshTls(Arc<Shared>);

pub(crate) struct Shared {
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
    live: RwLock<Live>,
    /// Held while a new trust is made from the old one, outside the lock that handshakes take.
    updating: Mutex<()>,
    generation: watch::Sender<u64>,
    recent: Recent,
}

/// What handshakes need at the moment.
#[derive(Clone)]
struct Live {
    own: Arc<CertifiedKey>,
    certificate: NodeCertificate,
    trust: Arc<Trust>,
}

impl Shared {
    fn live(&self) -> Live {
        self.live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Exchanges something; `change` returns what was there before.
    fn change<T>(&self, change: impl FnOnce(&mut Live) -> T) {
        let before = change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner));
        self.generation.send_modify(|generation| *generation += 1);
        // Not under the lock: it may take a while to give back a large trust.
        drop(before);
    }
}

impl MeshTls {
    /// Makes a handle from a node's chain (its own certificate first, the root left out), the key
    /// to it, and what the node trusts.
    ///
    /// A signer that is not in memory is asked in the middle of handshakes: it should be quick.
    ///
    /// # Errors
    /// The first certificate is not a node certificate, or the key is not its key.
    pub fn new(
        chain: &[Certificate],
        key: impl Signer + 'static,
        trust: Trust,
    ) -> Result<Self, OwnCertificateError> {
        Self::with_clock(chain, key, trust, Arc::new(DefaultTimeProvider))
    }

    /// Makes a handle that reads the time from a clock of the caller's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(
        chain: &[Certificate],
        key: impl Signer + 'static,
        trust: Trust,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, OwnCertificateError> {
        let (certificate, own) = pair(chain, Arc::new(key))?;
        Ok(Self(Arc::new(Shared {
            provider: Arc::new(provider()),
            clock,
            live: RwLock::new(Live {
                own,
                certificate,
                trust: Arc::new(trust),
            }),
            updating: Mutex::default(),
            generation: watch::Sender::new(0),
            recent: Recent::default(),
        })))
    }

    /// Makes a server configuration that stays bound to this handle.
    ///
    /// `alpn` are the application protocols, the preferred one first; none for no negotiation.
    pub fn server_config(&self, clients: ClientAuth, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let anonymous = clients == ClientAuth::Optional;
        let expected = match clients {
            ClientAuth::Expected(expected) => expected,
            ClientAuth::Required | ClientAuth::Optional => Expected::AnyMember,
        };
        let verifier = self.verifier(expected, anonymous);
        let provider = Arc::clone(&self.0.provider);
        let mut config = ServerConfig::builder_with_details(provider, Arc::clone(&self.0.clock))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites and groups of TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(OwnCertificate(Arc::clone(&self.0))));
        config.alpn_protocols = protocols(alpn);
        // A resumed session skips the verifier, and with it revocation.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// Makes a client configuration that stays bound to this handle and accepts only the expected
    /// peer. Which server name the client is given does not matter.
    pub fn client_config(&self, expected: Expected, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let provider = Arc::clone(&self.0.provider);
        let mut config = ClientConfig::builder_with_details(provider, Arc::clone(&self.0.clock))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites and groups of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(expected, false))
            .with_client_cert_resolver(Arc::new(OwnCertificate(Arc::clone(&self.0))));
        config.alpn_protocols = protocols(alpn);
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// Runs the server's side of a handshake and names the peer: `None` if the configuration lets
    /// a client come without a certificate and it did.
    ///
    /// # Errors
    /// [`HandshakeError`] says which side refused, and why. It has no time limit of its own.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        config: &Arc<ServerConfig>,
        stream: S,
    ) -> Result<(server::TlsStream<S>, Option<Peer>), HandshakeError> {
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        let peer = self.peer(stream.get_ref().1);
        Ok((stream, peer))
    }

    /// Runs the client's side of a handshake and names the peer.
    ///
    /// In TLS 1.3 the client is done before the server has looked at its certificate: if the
    /// server refuses that, the first read says so.
    ///
    /// # Errors
    /// [`HandshakeError`] says which side refused, and why. It has no time limit of its own.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        expected: Expected,
        alpn: &[&[u8]],
        stream: S,
    ) -> Result<(client::TlsStream<S>, Peer), HandshakeError> {
        let stream = self.dial(expected, alpn, stream).await?;
        let peer = self.peer(stream.get_ref().1);
        Ok((stream, peer.ok_or(HandshakeError::NotANode)?))
    }

    /// Runs the client's side of a handshake with a service, which has a certificate of the swarm
    /// and is no node.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_service<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        name: ServiceName,
        alpn: &[&[u8]],
        stream: S,
    ) -> Result<(client::TlsStream<S>, Peer<ServiceCertificate>), HandshakeError> {
        let stream = self.dial(Expected::Service(name), alpn, stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let leaf = chain.first().ok_or(HandshakeError::NoCertificate)?;
        let certificate = ServiceCertificate::from_der(leaf);
        let certificate = certificate.map_err(|_| HandshakeError::NoCertificate)?;
        let peer = Peer::new(certificate, chain);
        Ok((stream, peer))
    }

    async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        expected: Expected,
        alpn: &[&[u8]],
        stream: S,
    ) -> Result<client::TlsStream<S>, HandshakeError> {
        // Any name will do, and a name that says nothing tells an observer nothing.
        let name = ServerName::try_from("mesh.invalid").expect("a DNS name");
        let connector = TlsConnector::from(self.client_config(expected, alpn));
        Ok(connector.connect(name, stream).await?)
    }

    /// Names the peer of a session that a configuration of this handle has accepted: `None` before
    /// the handshake is over, and for a client without a certificate.
    pub fn peer(&self, session: &rustls::CommonState) -> Option<Peer> {
        if session.is_handshaking() {
            return None;
        }
        let chain = session.peer_certificates()?;
        let certificate = match self.0.recent.take(chain.first()?) {
            Some(parsed) => parsed,
            None => NodeCertificate::from_der(chain.first()?).ok()?,
        };
        Some(Peer::new(certificate, chain))
    }

    /// Presents another chain and key from the next handshake on, after a renewal.
    ///
    /// # Errors
    /// As [`new`](Self::new); nothing has changed then.
    pub fn replace_identity(
        &self,
        chain: &[Certificate],
        key: impl Signer + 'static,
    ) -> Result<(), OwnCertificateError> {
        let (certificate, own) = pair(chain, Arc::new(key))?;
        self.0.change(|live| {
            live.certificate = certificate;
            mem::replace(&mut live.own, own)
        });
        Ok(())
    }

    /// Trusts something else from now on. Guards of live connections look again at once.
    pub fn set_trust(&self, trust: Trust) {
        let _updating = self
            .0
            .updating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let trust = Arc::new(trust);
        self.0.change(|live| mem::replace(&mut live.trust, trust));
    }

    /// Changes what is trusted, by a newer CRL as a rule; other changes wait meanwhile, handshakes
    /// do not.
    ///
    /// # Errors
    /// Those of `update`; nothing has changed then.
    pub fn update_trust<T, E>(
        &self,
        update: impl FnOnce(&mut Trust) -> Result<T, E>,
    ) -> Result<T, E> {
        let _updating = self
            .0
            .updating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut trust = Trust::clone(&self.trust());
        let done = update(&mut trust)?;
        let trust = Arc::new(trust);
        self.0.change(|live| mem::replace(&mut live.trust, trust));
        Ok(done)
    }

    /// Returns what is trusted at the moment.
    pub fn trust(&self) -> Arc<Trust> {
        self.0.live().trust
    }

    /// Returns the certificate that is presented at the moment.
    pub fn certificate(&self) -> NodeCertificate {
        self.0.live().certificate
    }

    /// Returns the chain that is presented at the moment, the node's own certificate first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.live().own.cert.clone()
    }

    /// Subscribes to the generation: a number that grows with every change of identity or trust.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    fn now(&self) -> Option<Timestamp> {
        self.0.clock.current_time().map(Timestamp::from)
    }

    fn verifier(&self, expected: Expected, anonymous: bool) -> Arc<PeerVerifier> {
        Arc::new(PeerVerifier {
            trust: TrustSource::Live(Arc::clone(&self.0)),
            provider: Arc::clone(&self.0.provider),
            expected,
            anonymous,
        })
    }
}

/// Makes a client configuration for a machine that has no certificate (yet) and still accepts only
/// the expected peer, going by a trust that does not change.
pub fn anonymous_client_config(
    trust: Trust,
    expected: Expected,
    alpn: &[&[u8]],
    clock: Arc<dyn TimeProvider>,
) -> Arc<ClientConfig> {
    let provider = Arc::new(provider());
    let verifier = PeerVerifier {
        trust: TrustSource::Fixed(Arc::new(trust)),
        provider: Arc::clone(&provider),
        expected,
        anonymous: false,
    };
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites and groups of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = protocols(alpn);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

fn pair(
    chain: &[Certificate],
    key: Arc<dyn Signer>,
) -> Result<(NodeCertificate, Arc<CertifiedKey>), OwnCertificateError> {
    let leaf = chain.first().ok_or(OwnCertificateError::Empty)?;
    let certificate = NodeCertificate::try_from(leaf)?;
    if certificate.spki_der() != key.public_key().spki_der() {
        return Err(OwnCertificateError::OtherKey);
    }
    let chain = chain
        .iter()
        .map(|certificate| certificate.der().clone())
        .collect();
    Ok((
        certificate,
        Arc::new(CertifiedKey::new(chain, Arc::new(HandshakeKey(key)))),
    ))
}

fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

impl fmt::Debug for MeshTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshTls")
            .field("certificate", &self.live().certificate)
            .field("generation", &*self.generation.borrow())
            .finish_non_exhaustive()
    }
}
