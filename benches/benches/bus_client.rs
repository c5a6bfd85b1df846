//! The client beside async-nats, in one process, in turns, against one nats-server with mutual
//! TLS: messages of 1 KiB published, asked and answered, and stored by JetStream one at a time and
//! a hundred at a time. Each message of ours bears an id; async-nats is measured as it comes, and
//! with ids; for what is stored, also what it costs the server. `cargo bench --bench bus_client -- stored` measures the rows so called.
#![allow(clippy::print_stdout, reason = "the ratios are its purpose")]

mod bus;
mod turns;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, jetstream};
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
const STORED_TOGETHER: usize = 4_000;
const WINDOW: usize = 100;
const ROUNDS: usize = 31;
const OURS: &str = "swarm-bus";
const THEIRS: &str = "async-nats";
const THEIRS_WITH_IDS: &str = "with ids";
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

struct Bench<'a> {
    server: &'a Server,
    runtime: Runtime,
    ours: Client,
    theirs: async_nats::Client,
    jetstream: jetstream::Context,
    payload: Bytes,
    /// What makes ids differ from those of other runs, and from one another.
    seed: u64,
    next: AtomicU64,
    /// What storing has cost the server so far, and how many messages, by whose they were.
    cost: RefCell<BTreeMap<&'static str, (Duration, usize)>>,
}

impl<'a> Bench<'a> {
    fn new(server: &'a Server) -> Self {
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
            server,
            runtime,
            ours,
            theirs,
            jetstream,
            payload: Bytes::from(vec![b'x'; SIZE]),
            seed: u64::from(std::process::id()),
            next: AtomicU64::new(0),
            cost: RefCell::default(),
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

    fn published(&self) -> Vec<Duration> {
        let ours = Turn::new(OURS, || {
            self.time(async {
                for _ in 0..PUBLISHED {
                    self.ours.publish(&Live, &self.payload).expect("room");
                }
                self.ours.flush().await.expect("flushed");
            })
        });
        // its flush asks the server nothing; a request comes after what was published
        let answered = async || {
            let answer = self.theirs.request("bench.echo", Bytes::new());
            answer.await.expect("answered");
        };
        let theirs = Turn::new(THEIRS, || {
            self.time(async {
                for _ in 0..PUBLISHED {
                    let sent = self.theirs.publish("bench.live", self.payload.clone());
                    sent.await.expect("sent");
                }
                answered().await;
            })
        });
        let with_ids = Turn::new(THEIRS_WITH_IDS, || {
            self.time(async {
                for _ in 0..PUBLISHED {
                    let (headers, payload) = (self.headers(), self.payload.clone());
                    let sent = self
                        .theirs
                        .publish_with_headers("bench.live", headers, payload);
                    sent.await.expect("sent");
                }
                answered().await;
            })
        });
        turns([ours, theirs, with_ids])
    }

    fn asked(&self) -> Vec<Duration> {
        let ours = Turn::new(OURS, || {
            self.time(async {
                for _ in 0..ASKED {
                    let answer = self.ours.request(&Echo, &self.payload, SOON);
                    answer.await.expect("answered");
                }
            })
        });
        let theirs = Turn::new(THEIRS, || {
            self.time(async {
                for _ in 0..ASKED {
                    let answer = self.theirs.request("bench.echo", self.payload.clone());
                    answer.await.expect("answered");
                }
            })
        });
        turns([ours, theirs])
    }

    fn stored(&self, count: usize, window: usize) -> Vec<Duration> {
        self.cost.borrow_mut().clear();
        let ours = Turn::new(OURS, || {
            self.time_stored(OURS, count, window, || async {
                let stored = self.ours.publish_stored(&Kept, &self.payload).await;
                stored.expect("stored");
            })
        });
        let theirs = Turn::new(THEIRS, || {
            self.time_stored(THEIRS, count, window, || async {
                let sent = self.jetstream.publish("bench.stored", self.payload.clone());
                sent.await.expect("sent").await.expect("stored");
            })
        });
        let with_ids = Turn::new(THEIRS_WITH_IDS, || {
            self.time_stored(THEIRS_WITH_IDS, count, window, || async {
                let (headers, payload) = (self.headers(), self.payload.clone());
                let sent = self
                    .jetstream
                    .publish_with_headers("bench.stored", headers, payload);
                sent.await.expect("sent").await.expect("stored");
            })
        });
        turns([ours, theirs, with_ids])
    }

    fn time_stored<F: Future>(
        &self,
        who: &'static str,
        count: usize,
        window: usize,
        work: impl Fn() -> F,
    ) -> Duration {
        let before = self.server.cpu();
        let took = self.time(in_window(count, window, work));
        let spent = self.server.cpu().saturating_sub(before);
        let mut cost = self.cost.borrow_mut();
        let (total, messages) = cost.entry(who).or_default();
        (*total, *messages) = (*total + spent, *messages + count);
        took
    }

    /// The server's CPU time for a message in microseconds.
    fn cost_of(&self, who: &str) -> Option<f64> {
        let (total, messages) = *self.cost.borrow().get(who)?;
        Some(total.as_secs_f64() * 1e6 / messages as f64)
    }

    /// An id as each message of ours bears one.
    fn headers(&self) -> HeaderMap {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{:016x}{number:x}", self.seed));
        headers
    }
}

/// Does it so many times, `window` at a time.
async fn in_window<F: Future>(count: usize, window: usize, work: impl Fn() -> F) {
    let mut under_way = FuturesOrdered::new();
    for _ in 0..count {
        if under_way.len() == window {
            under_way.next().await;
        }
        under_way.push_back(work());
    }
    while under_way.next().await.is_some() {}
}

fn turns<const N: usize>(mut turns: [Turn<'_>; N]) -> Vec<Duration> {
    let rounds = if is_measuring() { ROUNDS } else { 1 };
    in_turns(rounds, &mut turns)
}

/// Whether a row is asked for: all are where none is named.
fn is_wanted(row: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let all = named.next().is_none();
    all || std::env::args().skip(1).any(|arg| row.contains(&arg))
}

fn main() {
    let server = Server::start();
    let bench = Bench::new(&server);
    println!(
        "{:<34} {OURS:>10} {THEIRS:>11} {:>7} {THEIRS_WITH_IDS:>11} {:>7}",
        "a second", "ratio", "ratio"
    );
    let show = |what: &str, count: usize, measure: &dyn Fn() -> Vec<Duration>| {
        if !is_wanted(what) {
            return;
        }
        let times = measure();
        let rate = |time: Duration| count as f64 / time.as_secs_f64();
        print!("{what:<34} {:>10.0}", rate(times[0]));
        for time in &times[1..] {
            let ratio = rate(times[0]) / rate(*time);
            print!(" {:>11.0} {ratio:>6.2}×", rate(*time));
        }
        println!();
        if let Some(own) = bench.cost_of(OURS) {
            print!("{:<34} {own:>10.1}", "  µs of the server's CPU a message");
            for who in [THEIRS, THEIRS_WITH_IDS] {
                let cost = bench.cost_of(who).unwrap_or_default();
                print!(" {cost:>11.1} {:>6.2}×", own / cost);
            }
            println!();
        }
    };
    show("published", PUBLISHED, &|| bench.published());
    show("asked and answered, one by one", ASKED, &|| bench.asked());
    show("stored, one by one", STORED, &|| bench.stored(STORED, 1));
    show("stored, a hundred under way", STORED_TOGETHER, &|| {
        bench.stored(STORED_TOGETHER, WINDOW)
    });
}
