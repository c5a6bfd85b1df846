//! A reqwest client that is a member of the mesh.
//!
//! ```sh
//! cargo run -p swarm-pki --example reqwest_client
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod fleet;

use std::error::Error;

use swarm_pki::{
    front::{Access, Front, Rules, Upstream},
    tls::{Expected, MeshTls},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Makes a client that talks to this one node alone.
///
/// The configuration stays bound to the handle: a renewed certificate and a new revocation list
/// count from the next handshake on. A connection that reqwest keeps in its pool lives on.
fn client(tls: &MeshTls, node: &str) -> Result<reqwest::Client, Box<dyn Error>> {
    let config = tls.client_config(Expected::Node(node.parse()?), &[b"http/1.1"]);
    let config = rustls::ClientConfig::clone(&config);
    // No proxy of the environment's: it would see nothing but could keep the node from others.
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .build()?)
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let fleet = fleet::Fleet::new()?;
    let (hub, edge) = (fleet.node("hub", "hub")?, fleet.node("edge1", "edge")?);

    // On the hub: a service that speaks no TLS, and the front before it.
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = Upstream::Tcp(service.local_addr()?);
    let serving = tokio::spawn(plain_service(service));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let front = Front::http(hub, upstream, Rules::new(Access::AnyMember));
    let fronting = tokio::spawn(async move { front.serve(listener, std::future::pending()).await });

    let response = client(&edge, "hub")?
        .get(format!("https://{address}/"))
        .send()
        .await?;
    let text = response.error_for_status()?.text().await?;
    println!("{text}");
    assert_eq!(text, "hello edge1");

    // Another node than expected is not talked to.
    let error = client(&edge, "desk")?
        .get(format!("https://{address}/"))
        .send()
        .await;
    println!("{:?}", error.expect_err("the hub is not the desk"));
    fronting.abort();
    serving.abort();
    Ok(())
}

/// Greets whom the front names.
async fn plain_service(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head);
        let caller = head
            .lines()
            .find_map(|line| line.strip_prefix("x-swarm-node: "));
        let body = format!("hello {}", caller.unwrap_or("nobody"));
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}
