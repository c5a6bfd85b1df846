//! What is exchanged under a running TLS, and what that does to sessions.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::HandshakeKind;
use rustls_pki_types::ServerName;
use swarm_pki::{
    Timestamp,
    tls::{ClientAuth, Expected},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    fixture::{Swarm, learn, soon},
    tls::between,
};

#[tokio::test]
async fn no_session_is_resumed_across_a_reload_or_without_one() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let edge = swarm.node("edge1", &[]).tls(swarm.trust());
    // A client that would gladly resume: the configuration of the mesh with a session store.
    let mut eager = rustls::ClientConfig::clone(&edge.client_config(Expected::AnyMember, &[]));
    eager.resumption = rustls::client::Resumption::in_memory_sessions(32);
    let eager = TlsConnector::from(Arc::new(eager));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = hub.server_config(ClientAuth::Required, &[]);
    for round in 0..6 {
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut stream, _) = hub.accept(&config, stream).await.unwrap();
            stream.write_all(b"!").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let dial = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("hub.fleet.internal").unwrap();
            let mut stream = eager.connect(name, stream).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(session.tls13_tickets_received(), 0);
        };
        soon("handshake", async { tokio::join!(serve, dial) }).await;
        match round {
            1 => learn(&hub, &swarm.revoke(&swarm.node("stolen", &[]))),
            3 => {
                let renewed = swarm.node("hub", &[]);
                hub.replace_identity(&renewed.chain, renewed.key).unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_go_on_while_a_hundred_thousand_revocations_are_taken_over() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let stolen = swarm.node("edge9", &[]);
    let edge = swarm.node("edge1", &[]).tls(swarm.trust());
    swarm.revoke_many(100_000);
    let news = swarm.revoke(&stolen);
    let done = Arc::new(AtomicUsize::new(0));

    let (hub_too, done_too) = (hub.clone(), Arc::clone(&done));
    let takeover = tokio::task::spawn_blocking(move || {
        hub_too.update_trust(|trust| {
            let before = done_too.load(Ordering::Relaxed);
            let changes = trust.merge(&news, Timestamp::now());
            assert!(changes.refused.is_empty());
            // The takeover is not over before ten more handshakes are.
            for _ in 0..2_000 {
                if done_too.load(Ordering::Relaxed) >= before + 10 {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err("handshakes wait for the takeover")
        })
    });
    while !takeover.is_finished() {
        let (served, dialled) = between(&hub, &edge).await;
        assert!(served.is_ok() && dialled.is_ok());
        done.fetch_add(1, Ordering::Relaxed);
    }
    takeover.await.unwrap().unwrap();
    assert_eq!(
        hub.trust().crls().map(|list| list.len()).max(),
        Some(100_001)
    );
    let (served, dialled) = between(&hub, &stolen.tls(swarm.trust())).await;
    assert!(served.is_err() && dialled.is_err());
}

#[tokio::test]
async fn a_live_session_is_closed_when_its_node_is_revoked() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let stolen = swarm.node("edge1", &[]);
    let edge = stolen.tls(swarm.trust());
    let (served, dialled) = between(&hub, &edge).await;
    let ((mut server, peer), (mut client, _)) = (served.unwrap(), dialled.unwrap());
    let guard = hub.guard(&peer.unwrap());
    let serving = tokio::spawn(async move {
        let mut echoed = 0;
        let echo = async {
            while let Ok(byte) = server.read_u8().await {
                server.write_u8(byte).await.unwrap();
                echoed += 1;
            }
        };
        tokio::select! {
            () = echo => panic!("it ended by itself"),
            why = guard => (echoed, why),
        }
    });
    client.write_u8(7).await.unwrap();
    assert_eq!(soon("echo", client.read_u8()).await.unwrap(), 7);
    learn(&hub, &swarm.revoke(&stolen));
    // Dropped with all that belongs to it: the other end sees the connection break.
    assert!(soon("end", client.read_u8()).await.is_err());
    let (echoed, why) = serving.await.unwrap();
    assert_eq!(echoed, 1);
    assert!(
        matches!(why, swarm_pki::VerifyError::Revoked { .. }),
        "{why}"
    );
}
