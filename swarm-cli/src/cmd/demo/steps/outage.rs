//! The hub dies without a word, and comes back.

use std::time::{Duration, Instant};

use swarm_bus::Topic as _;
use swarm_bus::topics::{EVENTS_STREAM, NodeEvents, Occurrence};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE3, HUB, Scenario};
use crate::report::Failure;

use super::{bus, rooms, tls, tunnels};

/// How long the hub stays away.
const AWAY: Duration = Duration::from_secs(3);
/// How many events edge1 tells meanwhile.
const EVENTS: usize = 50;

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "hub killed with kill -9: edge1 and edge3 go on talking",
            async {
                demo.kill(HUB.0).await?;
                let start = Instant::now();
                let address = mesh_address(demo, EDGE3.0).await?;
                let mut rounds = 0;
                tell(demo).await?;
                while start.elapsed() < AWAY {
                    tunnels::ping(demo, EDGE1.0, address).await?;
                    tls::greet(demo, EDGE1.0, EDGE3.0).await?;
                    rounds += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok((
                    (),
                    format!(
                        "{rounds} pings and mutual-TLS requests in {} s, none lost; \
                         {EVENTS} events of edge1 wait on its disk",
                        AWAY.as_secs()
                    ),
                ))
            },
        )
        .await?;
    record
        .step(
            "hub back: tunnels, bus and rooms resume by themselves",
            async {
                let start = Instant::now();
                demo.start(HUB.0)?;
                for node in [HUB.0, EDGE1.0, EDGE3.0] {
                    demo.until_status(
                        node,
                        "tunnels, bus and rooms",
                        Duration::from_secs(60),
                        |status| {
                            status.bus.connected
                                && status.rooms.connected
                                && status.tunnel.peers.iter().all(|peer| peer.session)
                        },
                    )
                    .await?;
                }
                let connected = start.elapsed();
                bus::request(demo, EDGE1.0, EDGE3.0).await?;
                rooms::pass_message(demo, EDGE3.0, EDGE1.0, "after the outage").await?;
                Ok((
                    (),
                    format!(
                        "connected again {:.1} s after the hub's start",
                        connected.as_secs_f64()
                    ),
                ))
            },
        )
        .await?;
    record
        .step(
            "what edge1 told without the hub is stored: all of it, once, in order",
            async { Ok(((), caught_up(demo).await?)) },
        )
        .await
}

/// edge1 tells events while the bus is away.
async fn tell(demo: &Scenario) -> Result<(), Failure> {
    let layout = swarm::Layout::new(demo.directory(EDGE1.0))?;
    let control = layout.node(&tls::id(EDGE1.0)).control_socket();
    for number in 0..EVENTS {
        swarm::control::spool_event(&control, &bus::custom(OUTAGE, number)).await?;
    }
    Ok(())
}

/// What the events of the outage are called.
const OUTAGE: &str = "outage";

async fn caught_up(demo: &Scenario) -> Result<String, Failure> {
    let limit = Duration::from_secs(30);
    let status = demo
        .until_status(EDGE1.0, "nothing waits on disk", limit, |status| {
            status.events.waiting == 0
        })
        .await?;
    let hub = bus::connect(demo, HUB.0).await?;
    let subject = NodeEvents {
        node: bus::token(EDGE1.0),
    }
    .subject();
    let (mut found, mut next) = (Vec::new(), 1);
    while let Some(message) = hub
        .stream_message(&EVENTS_STREAM, next, &subject.clone().into())
        .await
        .map_err(|error| bus::failure(&error))?
    {
        next = message.sequence + 1;
        let event = message.read::<NodeEvents>();
        if let Ok(Occurrence::Custom { name, body }) = event.map(|event| event.payload.event)
            && name == OUTAGE
        {
            found.push(body);
        }
    }
    let told: Vec<_> = (0..EVENTS).map(serde_json::Value::from).collect();
    if found != told {
        return Err(Failure::failed(format!(
            "told were {EVENTS}, stored are {found:?}"
        )));
    }
    Ok(format!(
        "{EVENTS} of {EVENTS}; since its start edge1 told {}, stored are {}, given up {}",
        status.events.put, status.events.stored, status.events.dropped
    ))
}

async fn mesh_address(demo: &Scenario, node: &str) -> Result<std::net::IpAddr, Failure> {
    let status = demo.status(node).await?;
    status
        .addresses
        .first()
        .copied()
        .ok_or_else(|| Failure::failed(format!("{node} has no mesh address")))
}
