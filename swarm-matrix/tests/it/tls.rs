//! Through a front that asks for a client certificate.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use swarm_matrix::{Endpoint, Error, Session, SessionConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::swarm::{LIMIT, soon, token, user};
use crate::synapse::shared;

struct Authority(CertifiedIssuer<'static, KeyPair>);

type Identity = (
    Vec<rustls::pki_types::CertificateDer<'static>>,
    PrivateKeyDer<'static>,
);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn identity(&self, address: Option<IpAddr>) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = address.map(SanType::IpAddress).into_iter().collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key))
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Terminates mutual TLS in front of a plain port.
async fn front(authority: &Authority, to: u16) -> u16 {
    let (chain, key) = authority.identity(Some("127.0.0.1".parse().unwrap()));
    let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(stream).await else {
                    return;
                };
                let Ok(mut inside) = TcpStream::connect(("127.0.0.1", to)).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    port
}

fn session(url: &str, tls: ClientConfig, store: &std::path::Path) -> SessionConfig {
    let endpoint = Endpoint::tls(url, tls).unwrap();
    SessionConfig::new(endpoint, user("mutual"), store, || async {
        Ok(token("mutual"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_shows_its_certificate_and_trusts_only_its_authority() {
    let test = "a_session_shows_its_certificate_and_trusts_only_its_authority";
    let Some(synapse) = shared(test) else { return };
    let (ours, other) = (Authority::new(), Authority::new());
    let port = front(&ours, synapse.port.number()).await;
    let url = format!("https://127.0.0.1:{port}");
    let dir = tempfile::tempdir().unwrap();
    let client = |roots: &Authority, identity: Option<Identity>| {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.roots());
        let mut config = match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    };

    for (name, tls) in [
        ("no certificate", client(&ours, None)),
        (
            "somebody else's certificate",
            client(&ours, Some(other.identity(None))),
        ),
        (
            "somebody else's front",
            client(&other, Some(ours.identity(None))),
        ),
    ] {
        let error = Session::login(session(&url, tls, dir.path()))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, Error::Unreachable(_)), "{name}: {error:?}");
    }
    let good = session(&url, client(&ours, Some(ours.identity(None))), dir.path());
    let good = soon("login", Session::login(good)).await.unwrap();
    good.connected(LIMIT).await.unwrap();
    assert!(Endpoint::tls("http://127.0.0.1:1", client(&ours, None)).is_err());
}
