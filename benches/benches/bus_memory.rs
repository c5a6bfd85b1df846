//! The memory of 10,000 subscriptions on one client.
#![allow(clippy::print_stdout, reason = "the figure is its purpose")]

mod allocations;
mod bus;

use std::time::Duration;

use bus::server::Server;
use bytes::Bytes;
use swarm_bus::client::{Client, Options};
use swarm_bus::{Raw, Token, Topic};
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(10);

#[derive(Topic)]
#[topic("bench.many.{n}", payload = Bytes, codec = Raw)]
struct Many {
    n: u32,
}

fn main() {
    let server = Server::start();
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let address = format!("127.0.0.1:{}", server.port);
        let servers = vec![address.parse().expect("an address")];
        let options = Options::new(Token::from_static("bench"), servers, server.tls());
        let client = Client::start(options);
        client.connected(SOON).await.expect("a connection");
        let before = allocations::live();
        let all: Vec<_> = (0..10_000)
            .map(|n| client.subscribe::<Many>(&Many { n }).expect("open"))
            .collect();
        all[0].barrier().await.expect("subscribed");
        let bytes = allocations::live() - before;
        println!("10,000 subscriptions: {:.1} MB", bytes as f64 / 1e6);
    });
}
