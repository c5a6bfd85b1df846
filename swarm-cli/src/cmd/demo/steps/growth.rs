//! A node joins while all runs; nobody is restarted and no file is edited.

use std::time::Duration;

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, EDGE3, HUB, Scenario};
use crate::report::Failure;

use super::{enrol, tunnels};

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    let before: Vec<_> = [HUB.0, EDGE1.0, EDGE2.0]
        .map(|node| (node, demo.daemon_pid(node)))
        .into();
    demo.boot(EDGE3).await?;
    enrol::enrol(demo, record, EDGE3.0).await?;
    record
        .step(
            "edge3 joined a running swarm: every node reaches it",
            async {
                let nodes = [HUB.0, EDGE1.0, EDGE2.0, EDGE3.0];
                for node in nodes {
                    demo.until_status(
                        node,
                        "a live tunnel to every node",
                        Duration::from_secs(15),
                        |status| {
                            status.tunnel.peers.len() == 3
                                && status.tunnel.peers.iter().all(|peer| peer.session)
                                && status.bus.connected
                                && status.rooms.connected
                        },
                    )
                    .await?;
                }
                tunnels::ping_all(demo, &nodes).await?;
                if let Some((node, _)) = before
                    .iter()
                    .find(|(node, pid)| demo.daemon_pid(node) != *pid)
                {
                    return Err(Failure::failed(format!("{node} was restarted")));
                }
                Ok((
                    (),
                    "12 pairs ping each other; no daemon was restarted, no file edited".to_owned(),
                ))
            },
        )
        .await
}
