//! The root is replaced under the running swarm, and no node is left behind.

use std::time::{Duration, Instant};

use serde_json::Value;
use swarm_pki::Certificate;

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE3, HUB, Scenario};
use crate::report::Failure;

use super::tls;

/// How long the nodes may take to be ready for a phase.
const READY: Duration = Duration::from_secs(60);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "root replaced under the running swarm (swarm ca rollover), no node left behind",
            async {
                let before = root(demo).await?;
                demo.ask(HUB.0, &["ca", "rollover", "begin", "root"])
                    .await?;
                let mut phases = Vec::new();
                while let Some(phase) = ready(demo).await? {
                    phases.push(phase);
                    demo.ask(HUB.0, &["ca", "rollover", "advance"]).await?;
                }
                let after = root(demo).await?;
                if after == before {
                    return Err(Failure::failed("the root is the same as before"));
                }
                for node in [HUB.0, EDGE1.0, EDGE3.0] {
                    trusts_alone(demo, node, &after).await?;
                }
                tls::greet(demo, EDGE3.0, EDGE1.0).await?;
                Ok((
                    (),
                    format!(
                        "{}, done; every node trusts {}… alone",
                        phases.join(", "),
                        &after[..8]
                    ),
                ))
            },
        )
        .await
}

/// The fingerprint of the root that counts now.
async fn root(demo: &Scenario) -> Result<String, Failure> {
    let shown: Value = demo.ask_json(HUB.0, &["ca", "show"]).await?;
    let fingerprint = shown["root"]["fingerprint"].as_str();
    fingerprint
        .map(str::to_owned)
        .ok_or_else(|| Failure::failed("the authority shows no root"))
}

/// Waits until nobody is waited for, and returns the phase; `None` when the roll-over is done.
async fn ready(demo: &Scenario) -> Result<Option<String>, Failure> {
    let start = Instant::now();
    loop {
        let status: Value = demo.ask_json(HUB.0, &["ca", "rollover", "status"]).await?;
        let Some(phase) = status["phase"].as_str() else {
            return Ok(None);
        };
        if status["waiting"].as_array().is_some_and(Vec::is_empty) {
            return Ok(Some(phase.to_owned()));
        }
        if start.elapsed() > READY {
            return Err(Failure::failed(format!(
                "{phase}: {} are not ready",
                status["waiting"]
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the node has this root on disk and no other.
async fn trusts_alone(demo: &Scenario, node: &str, root: &str) -> Result<(), Failure> {
    let path = demo
        .directory(node)
        .join("nodes")
        .join(node)
        .join("trust.pem");
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let roots = Certificate::from_pem_chain(&text)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let roots: Vec<_> = roots
            .iter()
            .map(|one| one.fingerprint().to_string())
            .collect();
        if roots == [root] {
            return Ok(());
        }
        if start.elapsed() > READY {
            return Err(Failure::failed(format!(
                "{node} trusts {}",
                roots.join(" and ")
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
