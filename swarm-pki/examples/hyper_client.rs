//! A hyper client over one mutual-TLS connection, kept alive for several requests.
//!
//! ```sh
//! cargo run -p swarm-pki --example hyper_client
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod fleet;

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use swarm_pki::tls::{ClientAuth, Expected, MeshTls};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let fleet = fleet::Fleet::new()?;
    let (hub, edge) = (fleet.node("hub", "hub")?, fleet.node("edge1", "edge")?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(serve_one(hub, listener));

    // Any hub will do; which one it is, the handshake tells.
    let hubs = Expected::Role("hub".parse()?);
    let stream = TcpStream::connect(address).await?;
    let (stream, peer) = edge.connect(hubs, &[b"http/1.1"], stream).await?;
    println!("connected to {}", peer.id());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);

    for path in ["/roster", "/health"] {
        sender.ready().await?;
        let request = Request::get(path).header("host", peer.id().as_str());
        let response = sender
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?;
        let body = response.into_body().collect().await?.to_bytes();
        println!("{}", String::from_utf8_lossy(&body));
        assert_eq!(body, format!("this is {path}"));
    }
    drop(sender);
    driver.await??;
    serving.await?;
    Ok(())
}

/// Answers requests of one connection with their path.
async fn serve_one(tls: MeshTls, listener: TcpListener) {
    let config = tls.server_config(ClientAuth::Required, &[b"http/1.1"]);
    let (stream, _) = listener.accept().await.expect("a connection");
    let (stream, _) = tls.accept(&config, stream).await.expect("a member");
    let service = service_fn(async |request: Request<Incoming>| {
        let body = format!("this is {}", request.uri().path());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
    });
    let builder = hyper::server::conn::http1::Builder::new();
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
