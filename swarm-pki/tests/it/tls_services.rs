//! Services, which have a certificate and are no nodes; and certificates for one side alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc};

use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use swarm_pki::{
    Usage, VerifyError,
    tls::{ClientAuth, Expected, HandshakeError, MeshTls, OwnCertificateError, Peer},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::{
    fixture::{Node, Swarm, learn, soon},
    tls::{alert, between, untrusted},
};

const BOTH: [Usage; 2] = Usage::ALL;

/// A plain TLS server, as any program is one: it asks nobody for a certificate, and keeps
/// connections open.
async fn plain_server(service: &Node) -> SocketAddr {
    let chain = service.chain.iter().map(|one| one.der().clone()).collect();
    let key = PrivateKeyDer::Pkcs8(service.key.to_pkcs8_der().to_vec().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            kept.extend(acceptor.accept(stream).await);
        }
    });
    address
}

async fn dial(
    tls: &MeshTls,
    address: SocketAddr,
    name: &str,
) -> Result<(TlsStream<TcpStream>, Peer<swarm_pki::ServiceCertificate>), HandshakeError> {
    let stream = TcpStream::connect(address).await.unwrap();
    let connecting = tls.connect_service(name.parse().unwrap(), &[], stream);
    soon("handshake", connecting).await
}

#[tokio::test]
async fn a_service_is_connected_to_by_its_name_until_it_is_revoked() {
    let swarm = Swarm::new();
    let edge = swarm.node("edge1", &[]).tls(swarm.trust());
    let registry = swarm.service("registry", &[Usage::Server]);
    let address = plain_server(&registry).await;
    let (_stream, peer) = dial(&edge, address, "registry").await.unwrap();
    assert_eq!(peer.name().as_str(), "registry");
    assert_eq!(peer.certificate().certificate(), &registry.chain[0]);

    let refused = dial(&edge, address, "mirror").await.err().unwrap();
    let said = "expected service mirror, found service registry";
    assert!(refused.to_string().ends_with(said), "{refused}");

    let guard = tokio::spawn(edge.guard(&peer));
    learn(&edge, &swarm.revoke(&registry));
    let why = soon("end of the guard", guard).await.unwrap();
    assert!(matches!(why, VerifyError::Revoked { .. }), "{why}");
    let refused = dial(&edge, address, "registry").await;
    assert_eq!(untrusted(refused), CertificateError::Revoked);
}

#[tokio::test]
async fn a_service_is_not_taken_for_a_node_of_its_name() {
    let swarm = Swarm::new();
    let edge = swarm.node("edge1", &[]).tls(swarm.trust());
    let address = plain_server(&swarm.service("hub", &BOTH)).await;
    let (node, service) = (
        Expected::Node("hub".parse().unwrap()),
        Expected::Service("hub".parse().unwrap()),
    );
    for expected in [
        node.clone(),
        Expected::AnyMember,
        Expected::AnyOf(vec![node.clone()]),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let refused = soon("handshake", edge.connect(expected, &[], stream)).await;
        assert!(matches!(untrusted(refused), CertificateError::Other(_)));
    }
    // Where either will do, the configuration takes it, and `connect` says that it is no node.
    let either = Expected::AnyOf(vec![node, service]);
    let connector = TlsConnector::from(edge.client_config(either.clone(), &[]));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("hub.fleet.internal").unwrap();
    soon("handshake", connector.connect(name, stream))
        .await
        .unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let refused = soon("handshake", edge.connect(either, &[], stream)).await;
    assert!(matches!(refused, Err(HandshakeError::NotANode)));
    // And no node for a service.
    let hub = swarm.node("hub", &[]);
    let refused = dial(&edge, plain_server(&hub).await, "hub")
        .await
        .err()
        .unwrap();
    let said = "expected service hub, found node hub";
    assert!(refused.to_string().ends_with(said), "{refused}");
}

#[tokio::test]
async fn a_service_is_let_in_nowhere() {
    let swarm = Swarm::new();
    let service = swarm.service("registry", &BOTH);
    // No handle is made of it.
    let made = MeshTls::new(&service.chain, Arc::clone(&service.key), swarm.trust());
    assert!(matches!(made, Err(OwnCertificateError::NotANode(_))));

    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let chain = service.chain.iter().map(|one| one.der().clone()).collect();
    let key = PrivateKeyDer::Pkcs8(service.key.to_pkcs8_der().to_vec().into());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(swarm.root().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for auth in [
        ClientAuth::Required,
        ClientAuth::Optional,
        ClientAuth::Expected(Expected::Service("registry".parse().unwrap())),
    ] {
        let config = hub.server_config(auth, &[]);
        let serve = async {
            hub.accept(&config, listener.accept().await.unwrap().0)
                .await
        };
        let dial = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("hub.fleet.internal").unwrap();
            connector.connect(name, stream).await
        };
        let (served, _) = soon("handshake", async { tokio::join!(serve, dial) }).await;
        assert!(matches!(untrusted(served), CertificateError::Other(_)));
    }
}

#[tokio::test]
async fn a_certificate_counts_on_the_sides_that_it_is_for() {
    let swarm = Swarm::new();
    let tls = |id: &str, usages: &[Usage]| swarm.node_for(id, usages).tls(swarm.trust());
    let (server, client) = (tls("hub", &[Usage::Server]), tls("edge1", &[Usage::Client]));
    let (served, dialled) = between(&server, &client).await;
    assert!(served.is_ok() && dialled.is_ok());

    // The other way round each refuses the other; the client is first to see it.
    let (served, dialled) = between(&client, &tls("edge2", &BOTH)).await;
    assert_eq!(untrusted(dialled), CertificateError::InvalidPurpose);
    assert_eq!(alert(served), AlertDescription::UnsupportedCertificate);
    let (served, dialled) = between(&tls("edge2", &BOTH), &server).await;
    assert_eq!(untrusted(served), CertificateError::InvalidPurpose);
    assert_eq!(alert(dialled), AlertDescription::UnsupportedCertificate);
}
