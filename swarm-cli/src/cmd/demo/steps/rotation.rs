//! A certificate is rotated on a live node, and no message is lost.

use std::time::{Duration, Instant, SystemTime};

use swarm_bus::topics::{Ping, PingCommand};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE3, Scenario};
use crate::report::Failure;

use super::{bus, tls};

/// How long messages flow, with the rotation in their midst.
const FLOW: Duration = Duration::from_secs(3);
/// The pause between two messages.
const PACE: Duration = Duration::from_millis(10);

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step("certificate rotated on live edge1 (swarm renew), no message lost", async {
            let before = demo.status(EDGE1.0).await?.certificate.serial;
            let flow = flow(demo);
            let rotation = async {
                tokio::time::sleep(FLOW / 3).await;
                demo.ask(EDGE1.0, &["renew"]).await
            };
            let (answered, rotated) = tokio::join!(flow, rotation);
            let (answered, _) = (answered?, rotated?);
            let status = demo.status(EDGE1.0).await?;
            if status.certificate.serial == before {
                return Err(Failure::failed("edge1 presents the same certificate as before"));
            }
            tls::greet(demo, EDGE3.0, EDGE1.0).await?;
            Ok(((), format!(
                "{answered} requests to edge1 and its answers, none lost; serial {before} → {}",
                status.certificate.serial
            )))
        })
        .await
}

/// Asks edge1's daemon all the time, and counts its answers; the first one that is missing fails.
async fn flow(demo: &Scenario) -> Result<usize, Failure> {
    let client = bus::connect(demo, EDGE3.0).await?;
    let topic = PingCommand {
        node: bus::token(EDGE1.0),
    };
    let start = Instant::now();
    let mut waiting = Vec::new();
    while start.elapsed() < FLOW {
        let (client, topic) = (client.clone(), topic.clone());
        waiting.push(tokio::spawn(async move {
            let sent = SystemTime::now().into();
            client
                .request(&topic, &Ping { sent }, Duration::from_secs(10))
                .await
        }));
        tokio::time::sleep(PACE).await;
    }
    let mut answered = 0;
    for answer in waiting {
        let answer = answer
            .await
            .map_err(|error| Failure::failed(error.to_string()))?;
        answer.map_err(|error| {
            Failure::failed(format!(
                "message {answered} was lost: {}",
                crate::report::chain(&error)
            ))
        })?;
        answered += 1;
    }
    Ok(answered)
}
