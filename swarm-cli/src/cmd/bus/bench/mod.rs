//! `swarm bus bench`: how fast the bus is from here, as this node.

mod figures;

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::Value;
use swarm::Member;
use swarm_bus::Token;
use swarm_bus::client::{Client, Fault, FlushError, PublishError, RequestError, SubscribeError};
use swarm_bus::topics::{
    NodeEvent, NodeEvents, Occurrence, Ping, PingCommand, Pong, Samples, Telemetry,
};
use swarm_pki::NodeId;

use super::advice::Advise as _;
use crate::report::{Failure, Output, chain};

use figures::Measured;

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that one part may take.
const LONGEST: Duration = Duration::from_secs(600);

/// Measure the running bus: publishing, asking and, if wished, storing
///
/// Published are figures of the kind `bench` of this node; asked is the ping of this node, or of another.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  swarm bus bench\n  swarm --json bus bench --count 20000 --to edge2 --stored"
)]
pub(super) struct Bench {
    /// How many messages of each sort
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How long each sort may take at most; what was done by then counts
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    time: Duration,
    /// About how many bytes a payload has
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    size: u32,
    /// How many messages are under way at a time
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Which node to ask
    #[arg(long, value_name = "ID")]
    to: Option<NodeId>,
    /// Store events of this node too: every node hears them, and they stay in the stream for its time
    #[arg(long)]
    stored: bool,
}

impl Bench {
    pub(super) async fn run(
        self,
        client: &Client,
        member: &Member,
        output: Output,
    ) -> Result<(), Failure> {
        if self.time.is_zero() || self.time > LONGEST {
            return Err(Failure::input(format!(
                "--time is between 1ms and {}",
                humantime::format_duration(LONGEST)
            )));
        }
        let own = super::own(member)?;
        let mut all = vec![
            self.publish(client, &own).await?,
            self.flush(client, &own).await?,
            self.request(client, &own).await?,
        ];
        if self.stored {
            all.push(self.store(client, &own).await?);
        }
        output.show(&all, || figures::text(&all))
    }

    /// Messages handed over as fast as they are taken, and one confirmation at the end.
    async fn publish(&self, client: &Client, own: &Token) -> Result<Measured, Failure> {
        let (topic, samples) = self.samples(own);
        // that the node may is known only from a confirmation
        client
            .publish_flushed(&topic, &samples)
            .await
            .map_err(PublishError::into_failure)?;
        let start = Instant::now();
        let mut messages = 0;
        while messages < self.count as usize && start.elapsed() < self.time {
            match client.publish(&topic, &samples) {
                Ok(_) => messages += 1,
                Err(PublishError::QueueFull { .. }) => flush(client).await?,
                Err(error) => return Err(error.into_failure()),
            }
            // the connection's task gets its turn
            if messages % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        flush(client).await?;
        Ok(Measured::new(
            "publish",
            messages,
            size(&samples),
            start.elapsed(),
            Vec::new(),
        ))
    }

    /// Messages that are each confirmed by the server.
    async fn flush(&self, client: &Client, own: &Token) -> Result<Measured, Failure> {
        let (topic, samples) = self.samples(own);
        let bytes = size(&samples);
        self.each("flushed", bytes, async || {
            let sent = client.publish_flushed(&topic, &samples).await;
            sent.map(drop).map_err(PublishError::into_failure)
        })
        .await
    }

    /// Questions and answers.
    async fn request(&self, client: &Client, own: &Token) -> Result<Measured, Failure> {
        let node = match &self.to {
            None => own.clone(),
            Some(id) => Token::parse(id.as_str()).map_err(|error| Failure::input(chain(&error)))?,
        };
        let topic = PingCommand { node };
        let ask = async || {
            let ping = Ping {
                sent: SystemTime::now().into(),
            };
            client.request(&topic, &ping, PATIENCE).await.map(drop)
        };
        // a node that does not run is stood in for, so that the bus can be measured without it
        let mut stand_in = None;
        match ask().await {
            Err(RequestError::NoResponders { .. }) if topic.node == *own => {
                let requests = client
                    .requests(&topic, None)
                    .map_err(SubscribeError::into_failure)?;
                requests
                    .barrier()
                    .await
                    .map_err(SubscribeError::into_failure)?;
                stand_in = Some(tokio::spawn(requests.serve(async |call| {
                    Ok::<_, Fault>(Pong {
                        sent: call.payload.sent,
                        answered: SystemTime::now().into(),
                    })
                })));
            }
            asked => asked.map_err(RequestError::into_failure)?,
        }
        let bytes = size(&Ping {
            sent: SystemTime::now().into(),
        });
        let measured = self
            .each("request", bytes, async || {
                ask().await.map_err(RequestError::into_failure)
            })
            .await;
        if let Some(stand_in) = stand_in {
            stand_in.abort();
        }
        measured
    }

    /// Messages that a stream keeps.
    async fn store(&self, client: &Client, own: &Token) -> Result<Measured, Failure> {
        let topic = NodeEvents { node: own.clone() };
        let event = |padding: usize| NodeEvent {
            at: SystemTime::now().into(),
            event: Occurrence::Custom {
                name: "bench".to_owned(),
                body: Value::String("x".repeat(padding)),
            },
        };
        let event = event((self.size as usize).saturating_sub(size(&event(0))));
        let bytes = size(&event);
        self.each("stored", bytes, async || {
            let kept = client.publish_stored(&topic, &event).await;
            kept.map(drop).map_err(PublishError::into_failure)
        })
        .await
    }

    /// Does one thing again and again, some at a time, and takes the time of each.
    async fn each<F>(
        &self,
        what: &'static str,
        bytes: usize,
        once: impl Fn() -> F,
    ) -> Result<Measured, Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let start = Instant::now();
        let timed = || {
            let done = once();
            async move {
                let start = Instant::now();
                done.await.map(|()| start.elapsed())
            }
        };
        let in_time = |_: &u32| std::future::ready(start.elapsed() < self.time);
        let mut done = futures_util::stream::iter(0..self.count)
            .take_while(in_time)
            .map(|_| timed())
            .buffer_unordered(self.parallel.into());
        let mut latencies = Vec::new();
        while let Some(latency) = done.next().await {
            latencies.push(latency?);
        }
        let took = start.elapsed();
        let messages = latencies.len();
        Ok(Measured::new(what, messages, bytes, took, latencies))
    }

    fn samples(&self, own: &Token) -> (Telemetry, Samples) {
        let topic = Telemetry {
            node: own.clone(),
            kind: Token::from_static("bench"),
        };
        let make = |name: String| {
            let mut samples = Samples::new(SystemTime::now().into());
            samples.set(name, 1.0);
            samples
        };
        let bare = size(&make(String::new()));
        let name = "x".repeat((self.size as usize).saturating_sub(bare));
        (topic, make(name))
    }
}

async fn flush(client: &Client) -> Result<(), Failure> {
    client
        .flush()
        .await
        .map_err(|error: FlushError| Failure::failed(chain(&error)))
}

fn size(payload: &impl Serialize) -> usize {
    serde_json::to_vec(payload).map_or(0, |bytes| bytes.len())
}
