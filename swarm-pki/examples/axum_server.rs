//! An axum server whose handlers know which node is calling.
//!
//! ```sh
//! cargo run -p swarm-pki --example axum_server
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod fleet;

use std::error::Error;

use axum::{Extension, Router, http::Request, routing::get};
use bytes::Bytes;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use swarm_pki::tls::{ClientAuth, Expected, MeshTls, Peer, http};
use tokio::net::TcpListener;

/// Serves a router to members. Every request carries the [`Peer`] that sends it.
async fn serve(tls: MeshTls, listener: TcpListener, router: Router) -> std::io::Result<()> {
    let config = tls.server_config(ClientAuth::Required, &[b"http/1.1"]);
    loop {
        let (stream, address) = listener.accept().await?;
        let (tls, config, router) = (tls.clone(), config.clone(), router.clone());
        tokio::spawn(async move {
            let (stream, peer) = match tls.accept(&config, stream).await {
                Ok((stream, Some(peer))) => (stream, peer),
                Ok((_, None)) => return,
                Err(error) => return println!("{address}: {error}"),
            };
            // Kept-alive connections end as well when their peer is revoked or expires.
            let guard = tls.guard(&peer);
            let service = TowerToHyperService::new(router.layer(Extension(peer)));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                why = guard => println!("{address}: {why}"),
            }
        });
    }
}

async fn whoami(Extension(peer): Extension<Peer>) -> String {
    let roles: Vec<_> = peer
        .certificate()
        .identity()
        .roles
        .iter()
        .map(|role| role.as_str())
        .collect();
    format!("you are {}, {}", peer.id(), roles.join(", "))
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let fleet = fleet::Fleet::new()?;
    let hub = fleet.node("hub", "hub")?;
    let edge = fleet.node("edge1", "edge")?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/whoami", get(whoami));
    let serving = tokio::spawn(serve(hub, listener, router));

    // One request by the small client of this crate; for larger ones see the other examples.
    let config = edge.client_config(Expected::Node("hub".parse()?), &[b"http/1.1"]);
    let request = Request::get("https://hub/whoami").body(Bytes::new())?;
    let response = http::request(address, &config, request, &http::Limits::default()).await?;
    let answer = String::from_utf8_lossy(response.body()).into_owned();
    println!("{answer}");
    assert_eq!(answer, "you are edge1, edge");
    serving.abort();
    Ok(())
}
