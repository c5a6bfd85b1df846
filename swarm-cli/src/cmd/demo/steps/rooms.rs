//! The rooms: every node's state seen by the others, encrypted messages, alerts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use swarm::control::{RoomContents, RoomStatus};
use swarm_bus::topics::{Alert, NodeEvent, NodeEvents, Occurrence, Severity};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario, read};
use crate::report::Failure;

use super::bus;

/// How long anything in the rooms may take.
const LIMIT: Duration = Duration::from_secs(15);
const NODES: [&str; 3] = [HUB.0, EDGE1.0, EDGE2.0];

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "rooms #ops, #telemetry and #alerts, every node in them",
            async {
                let wanted: BTreeSet<_> =
                    NODES.iter().map(|node| format!("@{node}:swarm")).collect();
                let rooms = until(
                    demo,
                    EDGE1.0,
                    &["room", "list"],
                    |rooms: &Vec<RoomStatus>| {
                        rooms.len() == 3
                            && rooms
                                .iter()
                                .all(|room| wanted.iter().all(|node| room.members.contains(node)))
                    },
                )
                .await?;
                let aliases: Vec<_> = rooms.iter().map(|room| room.alias.as_str()).collect();
                Ok((
                    (),
                    format!("{}; encrypted, three members each", aliases.join(", ")),
                ))
            },
        )
        .await?;
    record
        .step("each node's state in #ops is seen by the others", async {
            for node in NODES {
                until(
                    demo,
                    node,
                    &["room", "show", "#ops"],
                    |contents: &RoomContents| {
                        let seen = |other: &&str| {
                            let user = format!("@{other}:swarm");
                            contents
                                .states
                                .iter()
                                .any(|state| state.user == user && state.content["status"] == "up")
                        };
                        NODES.iter().all(seen)
                    },
                )
                .await?;
            }
            Ok((
                (),
                "three nodes see three states, each written by the node itself".to_owned(),
            ))
        })
        .await?;
    record
        .step(
            "an end-to-end encrypted message of edge1 read by edge2",
            async {
                let text = "the tide turns at six";
                let took = pass_message(demo, EDGE1.0, EDGE2.0, text).await?;
                let stored = is_stored_in_the_clear(demo, text)?;
                if stored {
                    return Err(Failure::failed(
                        "the homeserver's database has the text in the clear",
                    ));
                }
                Ok((
                    (),
                    format!(
                        "read after {:.0} ms; the homeserver's database does not have the text",
                        took.as_secs_f64() * 1e3
                    ),
                ))
            },
        )
        .await?;
    record
        .step("an alert routed from the bus to #alerts", async {
            Ok(((), alert(demo).await?))
        })
        .await
}

/// Sends a text by one node and waits until another has read it.
pub(super) async fn pass_message(
    demo: &Scenario,
    from: &str,
    to: &str,
    text: &str,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    demo.ask(from, &["room", "send", "#ops", text]).await?;
    until(
        demo,
        to,
        &["room", "show", "#ops"],
        |contents: &RoomContents| {
            contents.messages.iter().any(|message| {
                message.body == text
                    && message.encrypted
                    && message.sender.starts_with(&format!("@{from}:"))
            })
        },
    )
    .await?;
    Ok(start.elapsed())
}

/// Looks for a text in everything that the homeserver keeps.
fn is_stored_in_the_clear(demo: &Scenario, text: &str) -> Result<bool, Failure> {
    let mut directories = vec![demo.directory(HUB.0).join("matrix")];
    let mut searched = 0;
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory).map_err(|error| {
            Failure::failed(format!("cannot read {}: {error}", directory.display()))
        })?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let contents = read(&path)?;
            searched += contents.len();
            if contents
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                return Ok(true);
            }
        }
    }
    if searched < 100_000 {
        return Err(Failure::failed("the homeserver's database was not found"));
    }
    Ok(false)
}

async fn alert(demo: &Scenario) -> Result<String, Failure> {
    let edge = bus::connect(demo, EDGE2.0).await?;
    let summary = "battery below 20 %";
    let event = NodeEvent {
        at: SystemTime::now().into(),
        event: Occurrence::Alert(Alert {
            severity: Severity::Warning,
            key: "battery".to_owned(),
            summary: summary.to_owned(),
            detail: None,
            resolved: false,
            labels: [].into(),
        }),
    };
    let start = Instant::now();
    let topic = NodeEvents {
        node: bus::token(EDGE2.0),
    };
    edge.publish_stored(&topic, &event)
        .await
        .map_err(|error| bus::failure(&error))?;
    until(
        demo,
        EDGE1.0,
        &["room", "show", "#alerts"],
        |contents: &RoomContents| {
            contents
                .messages
                .iter()
                .any(|message| message.encrypted && message.body.contains(summary))
        },
    )
    .await?;
    Ok(format!(
        "edge1 reads edge2's alert in #alerts {:.0} ms after it was published",
        start.elapsed().as_secs_f64() * 1e3
    ))
}

/// Asks until the answer is as wished.
async fn until<T: serde::de::DeserializeOwned>(
    demo: &Scenario,
    node: &str,
    arguments: &[&str],
    wished: impl Fn(&T) -> bool,
) -> Result<T, Failure> {
    let start = Instant::now();
    loop {
        let answer = demo.ask_json(node, arguments).await;
        match answer {
            Ok(answer) if wished(&answer) => return Ok(answer),
            Err(failure) if start.elapsed() > LIMIT => return Err(failure),
            Ok(_) if start.elapsed() > LIMIT => {
                let shown = demo.ask(node, arguments).await.unwrap_or_default();
                return Err(Failure::failed(format!(
                    "`swarm {}` on {node} still shows:\n{shown}",
                    arguments.join(" ")
                )));
            }
            _ => tokio::time::sleep(Duration::from_millis(30)).await,
        }
    }
}
