//! The spool: messages a second onto the disk, and out of it into a stream of a nats-server that
//! keeps them in a file.
//!
//! A message that is in was confirmed by the disk (`fdatasync`); those that come meanwhile share the
//! next confirmation. A message that is out was acknowledged by the stream, whose server writes at
//! once and has the disk confirm every two minutes, which is how it comes. The spool lies in the
//! directory for temporary files: `TMPDIR` names another disk.
#![allow(clippy::print_stdout, reason = "the figures are its purpose")]

mod bus;
mod turns;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bus::server::Server;
use bytes::Bytes;
use futures_util::future::join_all;
use swarm_bus::client::{Client, Options};
use swarm_bus::spool::{DrainOptions, Limits, Order, PutError, Spool, Submitted};
use swarm_bus::stream::StreamConfig;
use swarm_bus::{Pattern, Raw, Token, Topic};
use tokio::runtime::Runtime;
use turns::is_measuring;

const SIZES: [(&str, usize); 2] = [("1 KiB", 1024), ("100 B", 100)];
const MESSAGES: u32 = 30_000;
const CALLERS: u32 = 100;
/// So many where each waits for the one before.
const ONE_BY_ONE: u32 = 2_000;
const ROUNDS: usize = 5;
const SUBJECTS: u32 = 100;
const STREAM: Token = Token::from_static("BENCH");
const SOON: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(60);

#[derive(Topic)]
#[topic("bench.spooled.{n}", payload = Bytes, codec = Raw, delivery = stored, offline = spool)]
struct Spooled {
    n: u32,
}

/// A spool of its own, and what goes in.
struct Round {
    spool: Spool,
    payload: Bytes,
    subjects: u32,
    _directory: tempfile::TempDir,
}

impl Round {
    fn new(size: usize, subjects: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            spool: Spool::open(directory.path(), Limits::default()).expect("a spool"),
            payload: Bytes::from(vec![b'x'; size]),
            subjects,
            _directory: directory,
        }
    }

    /// Puts messages in and waits for the disk, as one caller who lets many be on their way.
    async fn submit(&self, count: u32) -> Duration {
        let start = Instant::now();
        let mut under_way: VecDeque<Submitted> = VecDeque::new();
        for n in 0..count {
            let topic = Spooled {
                n: n % self.subjects,
            };
            loop {
                match self.spool.submit(&topic, &self.payload) {
                    Ok(submitted) => break under_way.push_back(submitted),
                    Err(PutError::Busy { .. }) => {
                        let oldest = under_way.pop_front().expect("some are under way");
                        oldest.confirmed().await.expect("on disk");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        for submitted in under_way {
            submitted.confirmed().await.expect("on disk");
        }
        start.elapsed()
    }

    /// Puts messages in as so many callers, each of whom waits for the disk.
    async fn put(&self, count: u32, callers: u32) -> Duration {
        let start = Instant::now();
        let all = (0..callers).map(|n| async move {
            let topic = Spooled { n };
            for _ in 0..count / callers {
                let put = self.spool.put(&topic, &self.payload);
                put.await.expect("on disk");
            }
        });
        join_all(all).await;
        start.elapsed()
    }

    async fn drain(self, client: &Client, order: Order, count: u32) -> Duration {
        self.submit(count).await;
        let mut options = DrainOptions::default();
        options.per_second = u32::MAX;
        options.order = order;
        options.streams = vec![(Pattern::from_static("bench.spooled.*"), STREAM)];
        let start = Instant::now();
        let drain = self.spool.drain(client.clone(), options).expect("one");
        assert!(self.spool.emptied(LATE).await, "out in time");
        let time = start.elapsed();
        drain.stop(SOON).await;
        let counted = self.spool.statistics();
        assert_eq!((counted.drained, counted.reordered), (count.into(), 0));
        self.spool.close().await;
        time
    }
}

async fn connect(server: &Server) -> Client {
    let address = format!("127.0.0.1:{}", server.port);
    let servers = vec![address.parse().expect("an address")];
    let options = Options::new(Token::from_static("bench"), servers, server.tls());
    let client = Client::start(options);
    client.connected(SOON).await.expect("a connection");
    let pattern = Pattern::from_static("bench.spooled.*");
    let mut stream = StreamConfig::new(STREAM, vec![pattern]);
    stream.max_bytes = Some(64 << 20);
    client.ensure_stream(&stream).await.expect("a stream");
    client
}

fn main() {
    let server = Server::start();
    let runtime = Runtime::new().expect("a runtime");
    let client = runtime.block_on(connect(&server));
    println!("{:<44} {:>10} {:>10}", "a second, median (worst)", "", "");
    let (many, few) = match is_measuring() {
        true => (MESSAGES, ONE_BY_ONE),
        false => (200, 20),
    };
    let show = |what: &str, size: &str, count: u32, run: &dyn Fn() -> Duration| {
        let rounds = if is_measuring() { ROUNDS } else { 1 };
        let mut times: Vec<_> = (0..rounds).map(|_| run()).collect();
        times.sort_unstable();
        let rate = |time: Duration| f64::from(count) / time.as_secs_f64();
        let (median, worst) = (rate(times[rounds / 2]), rate(times[rounds - 1]));
        println!("{what:<38} {size:>5} {median:>10.0} ({worst:.0})");
    };
    for (name, size) in SIZES {
        show("in, many on their way", name, many, &|| {
            runtime.block_on(Round::new(size, SUBJECTS).submit(many))
        });
        show("in, a hundred callers who wait", name, many, &|| {
            runtime.block_on(Round::new(size, SUBJECTS).put(many, CALLERS))
        });
        show("in, one caller who waits", name, few, &|| {
            runtime.block_on(Round::new(size, SUBJECTS).put(few, 1))
        });
        for (what, subjects, order, count) in [
            ("out, of 100 subjects", SUBJECTS, Order::Pipelined, many),
            ("out, of one subject", 1, Order::Pipelined, many),
            (
                "out, of 100 subjects, strict",
                SUBJECTS,
                Order::Strict,
                many,
            ),
            ("out, of one subject, strict", 1, Order::Strict, few),
        ] {
            show(what, name, count, &|| {
                let round = Round::new(size, subjects);
                runtime.block_on(round.drain(&client, order, count))
            });
        }
    }
}
