//! Servers that are none, or mean harm.

use crate::rig::{Authority, soon, token};
use swarm_bus::client::{Client, LinkError, Options, ProtocolError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Connects to a peer that says this and nothing more; returns what the client makes of it.
async fn meet(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(greeting).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    let authority = Authority::new();
    let (tls, _) = authority.tls(Some(authority.client("n1")));
    let mut options = Options::new(token("n1"), vec![address.parse().unwrap()], tls);
    options.connect_timeout = std::time::Duration::from_millis(500);
    let client = Client::start(options);
    let mut states = client.states();
    let state = soon(states.until(|state| state.error().is_some())).await;
    let error = state.unwrap().error().cloned().unwrap();
    match &*error {
        LinkError::Protocol { source, .. } => format!("{source:?}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_is_no_server_is_told_from_one() {
    let garbage = meet(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(garbage.starts_with("UnknownOperation"), "{garbage}");
    let early = meet(b"PING\r\n").await;
    assert!(early.starts_with("Unexpected"), "{early}");
    let plain = meet(b"INFO {\"version\":\"2.9.10\"}\r\n").await;
    assert!(plain.starts_with("NoTls"), "{plain}");
    let mute = meet(b"").await;
    assert!(mute.starts_with("TimedOut"), "{mute}");
    let no_tls = meet(b"INFO {\"tls_required\":true}\r\n").await;
    assert!(no_tls.starts_with("TimedOut"), "{no_tls}");
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_is_not_believed() {
    let greeting = b"INFO {\"tls_required\":true}\r\n-ERR 'Authorization Violation'\r\n";
    let slipped = meet(greeting).await;
    assert_eq!(slipped, format!("{:?}", ProtocolError::BeforeTls));
}

#[tokio::test]
async fn an_endless_line_is_cut() {
    static LINE: [u8; 100_000] = [b'x'; 100_000];
    assert_eq!(
        meet(&LINE).await,
        format!("{:?}", ProtocolError::LineTooLong)
    );
}
