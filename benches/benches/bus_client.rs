//! The client beside async-nats, in one process, in turns, against one nats-server with mutual
//! TLS: messages of 1 KiB published, asked and answered, and stored by JetStream one at a time and
//! a hundred at a time; and the memory of 10,000 subscriptions.
#![allow(clippy::print_stdout, reason = "the ratios are its purpose")]

mod allocations;
mod bus;
mod turns;

use std::time::{Duration, Instant};

use async_nats::jetstream;
use bus::server::Server;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use swarm_bus::client::Fault;
use swarm_bus::client::{Client, Options};
use swarm_bus::stream::{Storage, StreamConfig};
use swarm_bus::{Raw, Token, Topic};
use tokio::runtime::Runtime;
use turns::{Turn, in_turns, is_measuring};

const SIZE: usize = 1024;
const PUBLISHED: usize = 20_000;
const ASKED: usize = 500;
const STORED: usize = 500;
const WINDOW: usize = 100;
const ROUNDS: usize = 21;
const SOON: Duration = Duration::from_secs(10);

#[derive(Topic)]
#[topic("bench.live", payload = Bytes, codec = Raw)]
struct Live;

#[derive(Topic)]
#[topic("bench.echo", payload = Bytes, codec = Raw, reply = Bytes, reply_codec = Raw)]
struct Echo;

#[derive(Topic)]
#[topic("bench.stored", payload = Bytes, codec = Raw, delivery = stored)]
struct Kept;

#[derive(Topic)]
#[topic("bench.many.{n}", payload = Bytes, codec = Raw)]
struct Many {
    n: u32,
}

struct Bench {
    runtime: Runtime,
    ours: Client,
    theirs: async_nats::Client,
    jetstream: jetstream::Context,
    payload: Bytes,
}

impl Bench {
    fn new(server: &Server) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (ours, theirs, jetstream) = runtime.block_on(async {
            let address = format!("127.0.0.1:{}", server.port);
            let servers = vec![address.parse().expect("an address")];
            let mut options = Options::new(Token::from_static("bench"), servers, server.tls());
            options.outbound_bytes = 64 << 20;
            let ours = Client::start(options);
            ours.connected(SOON).await.expect("a connection");
            let theirs = async_nats::ConnectOptions::new()
                .require_tls(true)
                .tls_client_config(server.tls())
                .connect(format!("tls://{address}"))
                .await
                .expect("a connection");
            let mut stream = StreamConfig::new(
                Token::from_static("BENCH"),
                vec![swarm_bus::Pattern::from_static("bench.stored")],
            );
            stream.storage = Storage::Memory;
            stream.max_bytes = Some(64 << 20);
            ours.ensure_stream(&stream).await.expect("a stream");
            let jetstream = jetstream::new(theirs.clone());
            (ours, theirs, jetstream)
        });
        let bench = Self {
            runtime,
            ours,
            theirs,
            jetstream,
            payload: Bytes::from(vec![b'x'; SIZE]),
        };
        bench.answer();
        bench
    }

    /// Each client answers the other's kind of requests, so that both ask through the same.
    fn answer(&self) {
        self.runtime.block_on(async {
            let requests = self.ours.requests::<Echo>(&Echo, None).expect("open");
            requests.barrier().await.expect("subscribed");
            tokio::spawn(requests.serve(|message| async move { Ok::<_, Fault>(message.payload) }));
        });
    }

    fn time<F: Future>(&self, work: F) -> Duration {
        let start = Instant::now();
        self.runtime.block_on(work);
        start.elapsed()
    }

    fn published(&self) -> [Duration; 2] {
        let ours = Turn::new("swarm-bus", || {
            self.time(async {
                for _ in 0..PUBLISHED {
                    self.ours.publish(&Live, &self.payload).expect("room");
                }
                self.ours.flush().await.expect("flushed");
            })
        });
        let theirs = Turn::new("async-nats", || {
            self.time(async {
                for _ in 0..PUBLISHED {
                    let sent = self.theirs.publish("bench.live", self.payload.clone());
                    sent.await.expect("sent");
                }
                // its flush asks the server nothing; a request comes after what was published
                let answer = self.theirs.request("bench.echo", Bytes::new());
                answer.await.expect("answered");
            })
        });
        pair(ours, theirs)
    }

    fn asked(&self) -> [Duration; 2] {
        let ours = Turn::new("swarm-bus", || {
            self.time(async {
                for _ in 0..ASKED {
                    let answer = self.ours.request(&Echo, &self.payload, SOON);
                    answer.await.expect("answered");
                }
            })
        });
        let theirs = Turn::new("async-nats", || {
            self.time(async {
                for _ in 0..ASKED {
                    let answer = self.theirs.request("bench.echo", self.payload.clone());
                    answer.await.expect("answered");
                }
            })
        });
        pair(ours, theirs)
    }

    fn stored(&self, window: usize) -> [Duration; 2] {
        let ours = Turn::new("swarm-bus", || {
            self.time(in_window(window, || async {
                let stored = self.ours.publish_stored(&Kept, &self.payload).await;
                stored.expect("stored");
            }))
        });
        let theirs = Turn::new("async-nats", || {
            self.time(in_window(window, || async {
                let sent = self.jetstream.publish("bench.stored", self.payload.clone());
                sent.await.expect("sent").await.expect("stored");
            }))
        });
        pair(ours, theirs)
    }

    fn subscriptions(&self) -> usize {
        let before = allocations::live();
        let all: Vec<_> = (0..10_000)
            .map(|n| self.ours.subscribe::<Many>(&Many { n }).expect("open"))
            .collect();
        self.runtime.block_on(all[0].barrier()).expect("subscribed");
        let bytes = allocations::live() - before;
        self.runtime.block_on(async {
            drop(all);
            self.ours.flush().await.expect("flushed");
        });
        bytes
    }
}

/// Does it [`STORED`] times, so many at a time.
async fn in_window<F: Future>(window: usize, work: impl Fn() -> F) {
    let mut under_way = FuturesOrdered::new();
    for _ in 0..STORED {
        if under_way.len() == window {
            under_way.next().await;
        }
        under_way.push_back(work());
    }
    while under_way.next().await.is_some() {}
}

fn pair(ours: Turn<'_>, theirs: Turn<'_>) -> [Duration; 2] {
    let rounds = if is_measuring() { ROUNDS } else { 1 };
    let medians = in_turns(rounds, &mut [ours, theirs]);
    [medians[0], medians[1]]
}

fn main() {
    let server = Server::start();
    let bench = Bench::new(&server);
    println!(
        "{:<38} {:>10} {:>11} {:>7}",
        "a second", "swarm-bus", "async-nats", "ratio"
    );
    let show = |what: &str, count: usize, [ours, theirs]: [Duration; 2]| {
        let rate = |time: Duration| count as f64 / time.as_secs_f64();
        println!(
            "{what:<38} {:>10.0} {:>11.0} {:>6.2}×",
            rate(ours),
            rate(theirs),
            rate(ours) / rate(theirs)
        );
    };
    show("published, 1 KiB", PUBLISHED, bench.published());
    show("asked and answered, one by one", ASKED, bench.asked());
    show("stored, one by one", STORED, bench.stored(1));
    show("stored, a hundred under way", STORED, bench.stored(WINDOW));
    println!(
        "10,000 subscriptions: {:.1} MB",
        bench.subscriptions() as f64 / 1e6
    );
}
