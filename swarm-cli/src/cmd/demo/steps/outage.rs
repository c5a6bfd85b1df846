//! The hub dies without a word, and comes back.

use std::time::{Duration, Instant};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE3, HUB, Scenario};
use crate::report::Failure;

use super::{bus, rooms, tls, tunnels};

/// How long the hub stays away.
const AWAY: Duration = Duration::from_secs(3);

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
                while start.elapsed() < AWAY {
                    tunnels::ping(demo, EDGE1.0, address).await?;
                    tls::greet(demo, EDGE1.0, EDGE3.0).await?;
                    rounds += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok((
                    (),
                    format!(
                        "{rounds} pings and mutual-TLS requests in {} s, none lost",
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
        .await
}

async fn mesh_address(demo: &Scenario, node: &str) -> Result<std::net::IpAddr, Failure> {
    let status = demo.status(node).await?;
    status
        .addresses
        .first()
        .copied()
        .ok_or_else(|| Failure::failed(format!("{node} has no mesh address")))
}
