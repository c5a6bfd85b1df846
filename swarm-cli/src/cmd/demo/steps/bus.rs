//! The bus: typed messages, shared work, what survives a killed server, and what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use swarm::{Layout, Member};
use swarm_bus::client::{Client, PublishError};
use swarm_bus::topics::{
    Command, Commands, NodeEvent, NodeEvents, Occurrence, Ping, PingCommand, Samples, Telemetry,
    events_consumer,
};
use swarm_bus::{Token, Topic as _};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario};
use crate::report::{Failure, chain};

use super::tls::id;

/// How long anything on the bus may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Jobs for a queue group.
const JOBS: usize = 60;

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "publish and subscribe: events and telemetry of edge2, heard by edge1",
            async { Ok(((), publish_subscribe(demo).await?)) },
        )
        .await?;
    record
        .step("request and reply: commands", async {
            let ping = request(demo, EDGE1.0, EDGE2.0).await?;
            let status = status_command(demo).await?;
            Ok(((), format!("{ping}; {status}")))
        })
        .await?;
    record
        .step("a queue group shares the work", async {
            Ok(((), queue_group(demo).await?))
        })
        .await?;
    record
        .step("a stored message survives kill -9 of nats-server", async {
            Ok(((), survive(demo).await?))
        })
        .await?;
    record
        .step("refused: edge1 on subjects that are not its own", async {
            Ok(((), denied(demo).await?))
        })
        .await
}

/// Connects to the bus as a program on a node's machine.
pub(super) async fn connect(demo: &Scenario, node: &str) -> Result<Client, Failure> {
    let layout = Layout::new(demo.directory(node))?;
    let node = id(node);
    demo.machine(node.as_str())
        .inside(move || async move {
            let client = Member::open(layout, Some(&node))?.bus();
            client
                .connected(LIMIT)
                .await
                .map_err(|error| failure(&error))?;
            Ok(client)
        })
        .await
}

async fn publish_subscribe(demo: &Scenario) -> Result<String, Failure> {
    let (hearer, speaker) = (connect(demo, EDGE1.0).await?, connect(demo, EDGE2.0).await?);
    let mut events = hearer
        .subscribe(NodeEvents::any())
        .map_err(|error| failure(&error))?;
    events.barrier().await.map_err(|error| failure(&error))?;
    let start = Instant::now();
    let event = custom("greeting", 1);
    speaker
        .publish_stored(
            &NodeEvents {
                node: token(EDGE2.0),
            },
            &event,
        )
        .await
        .map_err(|error| failure(&error))?;
    let heard = within("the event", async {
        while let Some(Ok(message)) = events.next().await {
            if message.topic.node == token(EDGE2.0) && message.payload == event {
                return Some(start.elapsed());
            }
        }
        None
    })
    .await?;
    // an edge may not hear another's telemetry; the hub hears it
    let hub = connect(demo, HUB.0).await?;
    let mut telemetry = hub
        .subscribe(Telemetry::any())
        .map_err(|error| failure(&error))?;
    telemetry.barrier().await.map_err(|error| failure(&error))?;
    let topic = Telemetry {
        node: token(EDGE2.0),
        kind: Token::from_static("battery"),
    };
    let mut samples = Samples::new(SystemTime::now().into());
    samples.set("volts", 12.6);
    speaker
        .publish_flushed(&topic, &samples)
        .await
        .map_err(|error| failure(&error))?;
    within("the telemetry", async {
        while let Some(Ok(message)) = telemetry.next().await {
            if message.topic == topic && message.payload.get("volts") == Some(12.6) {
                return Some(());
            }
        }
        None
    })
    .await?;
    Ok(format!(
        "the event took {:.1} ms; swarm.telemetry.edge2.battery reached the hub",
        heard.as_secs_f64() * 1e3
    ))
}

/// Pings a node's daemon over the bus.
pub(super) async fn request(demo: &Scenario, from: &str, to: &str) -> Result<String, Failure> {
    let client = connect(demo, from).await?;
    let sent = SystemTime::now().into();
    let start = Instant::now();
    let topic = PingCommand { node: token(to) };
    let pong = client
        .request(&topic, &Ping { sent }, LIMIT)
        .await
        .map_err(|error| failure(&error))?;
    if pong.sent != sent {
        return Err(Failure::failed(format!("{to} answered another question")));
    }
    Ok(format!(
        "{to} answered {from} in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    ))
}

/// The hub asks edge2's daemon for its status.
async fn status_command(demo: &Scenario) -> Result<String, Failure> {
    let hub = connect(demo, HUB.0).await?;
    let topic = Commands::new(token(EDGE2.0), Commands::STATUS);
    let reply = hub
        .request(&topic, &Command::default(), LIMIT)
        .await
        .map_err(|error| failure(&error))?;
    if reply.0["node"] != EDGE2.0 {
        return Err(Failure::failed(format!(
            "edge2's status is of another node: {}",
            reply.0
        )));
    }
    Ok("edge2 told the hub its status".to_owned())
}

async fn queue_group(demo: &Scenario) -> Result<String, Failure> {
    let done: Arc<[AtomicUsize; 2]> = Arc::default();
    let mut workers = Vec::new();
    for (number, node) in [EDGE1.0, EDGE2.0].into_iter().enumerate() {
        let client = connect(demo, node).await?;
        let mut jobs = client
            .queue_subscribe(
                NodeEvents::filter(Some(&token(HUB.0))),
                Token::from_static("workers"),
            )
            .map_err(|error| failure(&error))?;
        jobs.barrier().await.map_err(|error| failure(&error))?;
        let done = Arc::clone(&done);
        workers.push(tokio::spawn(async move {
            while let Some(item) = jobs.next().await {
                let job = item.is_ok_and(|message| matches!(&message.payload.event, Occurrence::Custom { name, .. } if name == "job"));
                done[number].fetch_add(usize::from(job), Ordering::Relaxed);
            }
            drop(client);
        }));
    }
    let hub = connect(demo, HUB.0).await?;
    for number in 0..JOBS {
        let topic = NodeEvents { node: token(HUB.0) };
        hub.publish(&topic, &custom("job", number))
            .map_err(|error| failure(&error))?;
    }
    hub.flush().await.map_err(|error| failure(&error))?;
    let count = || {
        [
            done[0].load(Ordering::Relaxed),
            done[1].load(Ordering::Relaxed),
        ]
    };
    let start = Instant::now();
    while count().iter().sum::<usize>() < JOBS && start.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    match count() {
        [one, two] if one + two == JOBS && one > 0 && two > 0 => Ok(format!(
            "{JOBS} jobs: {one} done by edge1, {two} by edge2, none twice"
        )),
        [one, two] => Err(Failure::failed(format!(
            "{JOBS} jobs: {one} done by edge1, {two} by edge2"
        ))),
    }
}

/// Stores a message, kills the server, and reads the message when the supervisor has brought it back.
async fn survive(demo: &Scenario) -> Result<String, Failure> {
    let speaker = connect(demo, EDGE1.0).await?;
    let event = custom("survivor", 7);
    let topic = NodeEvents {
        node: token(EDGE1.0),
    };
    let kept = speaker
        .publish_stored(&topic, &event)
        .await
        .map_err(|error| failure(&error))?;
    let before = nats_pid(demo).await?;
    let start = Instant::now();
    demo.machine(HUB.0)
        .run("kill", &["-9", &before.to_string()])
        .await?;
    let status = demo
        .until_status(HUB.0, "nats-server started again", LIMIT, |status| {
            status.services.iter().any(|service| {
                service.name == "nats-server" && service.ready && service.pid != Some(before)
            })
        })
        .await?;
    let back = start.elapsed();
    let after = status
        .services
        .iter()
        .find(|service| service.name == "nats-server")
        .and_then(|service| service.pid);
    let hub = connect(demo, HUB.0).await?;
    let mut name = events_consumer(&token(HUB.0));
    name.durable = Token::from_static("demo");
    hub.ensure_consumer(&name)
        .await
        .map_err(|error| failure(&error))?;
    let mut stored = hub
        .consumer::<NodeEvents>(&name.stream, &name.durable)
        .await
        .map_err(|error| failure(&error))?;
    within("the stored message", async {
        while let Ok(delivered) = stored.next().await {
            // what is not acknowledged comes again, which does no harm here
            let _ = delivered.ack();
            if delivered
                .content
                .is_ok_and(|message| message.payload == event)
            {
                return Some(());
            }
        }
        None
    })
    .await?;
    for node in [HUB.0, EDGE1.0, EDGE2.0] {
        demo.until_status(node, "the bus again", LIMIT, |status| status.bus.connected)
            .await?;
    }
    Ok(format!(
        "message {} of {}; process {before} killed, process {} ready {:.0} ms later",
        kept.sequence,
        kept.stream,
        after.unwrap_or_default(),
        back.as_secs_f64() * 1e3
    ))
}

async fn nats_pid(demo: &Scenario) -> Result<u32, Failure> {
    let status = demo.status(HUB.0).await?;
    let nats = status
        .services
        .iter()
        .find(|service| service.name == "nats-server");
    nats.and_then(|service| service.pid)
        .ok_or_else(|| Failure::failed("nats-server does not run"))
}

async fn denied(demo: &Scenario) -> Result<String, Failure> {
    let edge = connect(demo, EDGE1.0).await?;
    let forged = edge
        .publish_flushed(
            &NodeEvents {
                node: token(EDGE2.0),
            },
            &custom("forged", 0),
        )
        .await;
    if !matches!(forged, Err(PublishError::Denied { .. })) {
        return Err(Failure::failed(format!("edge1 spoke as edge2: {forged:?}")));
    }
    let others = edge
        .subscribe(Commands::filter(Some(&token(EDGE2.0)), None))
        .map_err(|error| failure(&error))?;
    if others.barrier().await.is_ok() {
        return Err(Failure::failed("edge1 hears the commands to edge2"));
    }
    Ok(
        "publishing as edge2 and hearing the commands to edge2 are denied, by typed errors"
            .to_owned(),
    )
}

/// An event of the demo's own.
pub(super) fn custom(name: &str, number: usize) -> NodeEvent {
    NodeEvent {
        at: SystemTime::now().into(),
        event: Occurrence::Custom {
            name: name.to_owned(),
            body: serde_json::json!(number),
        },
    }
}

pub(super) fn token(node: &str) -> Token {
    Token::parse(node).expect("the demo's names are tokens")
}

/// Waits for something, but not for ever.
pub(super) async fn within<T>(
    what: &str,
    work: impl Future<Output = Option<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Some(value)) => Ok(value),
        _ => Err(Failure::failed(format!(
            "{what} did not come in {} s",
            LIMIT.as_secs()
        ))),
    }
}

pub(super) fn failure(error: &dyn std::error::Error) -> Failure {
    Failure::failed(chain(error))
}
