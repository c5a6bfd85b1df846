//! From nothing to three nodes: an authority, invites, joins, daemons.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario};
use crate::report::Failure;

/// A join may take this long.
const JOIN: Duration = Duration::from_secs(2);

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step("three machines around a small internet", async {
            for machine in [HUB, EDGE1, EDGE2] {
                demo.boot(machine).await?;
            }
            Ok((
                (),
                "command0, edge1 and edge2, each behind a router at another provider".to_owned(),
            ))
        })
        .await?;
    record
        .step(
            "root and issuing authority made, hub enrolled (swarm bootstrap)",
            async {
                let endpoint = format!("{}:51820", HUB.1);
                let made: Value = demo
                    .ask_json(
                        HUB.0,
                        &["bootstrap", "--node", HUB.0, "--endpoint", &endpoint],
                    )
                    .await?;
                Ok((
                    (),
                    format!("root fingerprint {}", text(&made, "root_fingerprint")),
                ))
            },
        )
        .await?;
    record
        .step("hub up: tunnel and enrolment; nats-server and Synapse are starting, supervised (swarm up)", async {
            demo.start(HUB.0)?;
            let status = demo
                .until_status(HUB.0, "two servers started", Duration::from_secs(30), |status| {
                    status.services.iter().filter(|service| service.pid.is_some()).count() == 2
                })
                .await?;
            let pids: Vec<_> = status
                .services
                .iter()
                .map(|service| format!("{} is process {}", service.name, service.pid.unwrap_or_default()))
                .collect();
            Ok(((), pids.join(", ")))
        })
        .await?;
    let first = enrol(demo, record, EDGE1.0).await?;
    enrol(demo, record, EDGE2.0).await?;
    record
        .step(
            "three nodes talk: tunnels, bus and rooms connected",
            async {
                for node in [HUB.0, EDGE1.0, EDGE2.0] {
                    demo.until_status(
                        node,
                        "tunnels, bus and rooms",
                        Duration::from_secs(60),
                        |status| {
                            status.bus.connected
                                && status.rooms.connected
                                && status.tunnel.peers.len() == 2
                                && status.tunnel.peers.iter().all(|peer| peer.session)
                        },
                    )
                    .await?;
                }
                Ok(((), "every node has a live tunnel to every other".to_owned()))
            },
        )
        .await?;
    record.figure(
        "from nothing to three nodes talking",
        demo.began.elapsed(),
        Duration::from_secs(15),
    );
    record
        .step(
            "refused: a used invite, an expired one, one with a typo, a taken id",
            async { Ok(((), refusals(demo, &first).await?)) },
        )
        .await
}

/// Invites a node, joins it, and starts it.
pub(super) async fn enrol(
    demo: &mut Scenario,
    record: &mut Record,
    node: &'static str,
) -> Result<String, Failure> {
    let (took, invite) = record
        .step(
            &format!("{node} enrolled by invite (swarm invite, swarm join, swarm up)"),
            async {
                let invite: Value = demo.ask_json(HUB.0, &["invite", node]).await?;
                let start = Instant::now();
                let invite = text(&invite, "invite");
                let joined = join(demo, node, &demo.directory(node), &invite).await?;
                let took = start.elapsed();
                demo.start(node)?;
                let addresses = joined["addresses"].to_string();
                Ok((
                    (took, invite),
                    format!("certificate {} for {addresses}", text(&joined, "serial")),
                ))
            },
        )
        .await?;
    record.figure(&format!("join of {node}"), took, JOIN);
    Ok(invite)
}

/// Tries invites that must not work; each is refused in its own words and leaves no node behind.
async fn refusals(demo: &Scenario, used: &str) -> Result<String, Failure> {
    let expired: Value = demo
        .ask_json(HUB.0, &["invite", "late", "--expires", "1s"])
        .await?;
    // an invite is good to the end of its last second
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let mut typo = used.to_owned();
    let last = typo.pop().unwrap_or_default();
    typo.push(if last == 'a' { 'b' } else { 'a' });
    let directory = demo.directory("nobody");
    let mut said = Vec::new();
    for (name, invite) in [
        ("used", used),
        ("expired", &text(&expired, "invite")),
        ("typo", &typo),
    ] {
        match join(demo, EDGE2.0, &directory, invite).await {
            Ok(_) => {
                return Err(Failure::failed(format!(
                    "an invite was taken although it is bad: {name}"
                )));
            }
            Err(failure) => said.push(format!(
                "{name}: {}",
                failure.message().lines().next().unwrap_or_default()
            )),
        }
        if directory.exists() {
            return Err(Failure::failed(format!(
                "a refused invite ({name}) left something behind"
            )));
        }
    }
    match demo.ask(HUB.0, &["invite", EDGE1.0]).await {
        Ok(_) => Err(Failure::failed("a live node's id was invited again")),
        Err(failure) => {
            said.push(format!(
                "taken id: {}",
                failure.message().lines().next().unwrap_or_default()
            ));
            Ok(said.join("\n"))
        }
    }
}

/// Runs `swarm join` with the invite on its standard input, where no other process can read it.
async fn join(
    demo: &Scenario,
    node: &str,
    directory: &Path,
    invite: &str,
) -> Result<Value, Failure> {
    let fail = |error: std::io::Error| Failure::failed(format!("swarm join on {node}: {error}"));
    let mut child = demo
        .swarm_at(node, directory)
        .args(["--json", "join", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let mut input = child.stdin.take().expect("the input was asked for");
    input.write_all(invite.as_bytes()).await.map_err(fail)?;
    drop(input);
    let output = child.wait_with_output().await.map_err(fail)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::failed(format!(
            "swarm join on {node}: {}",
            said.trim()
        )));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::failed(format!("swarm join on {node} printed no JSON: {error}")))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
