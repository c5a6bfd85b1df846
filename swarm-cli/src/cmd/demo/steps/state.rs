//! State that nodes share, and a file that passes through the mesh.

use std::time::Instant;

use serde_json::{Value, json};
use swarm_bus::client::PublishError;
use swarm_bus::kv::{KvError, Update};
use swarm_bus::topics::{FILES_BUCKET, NodeState};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario, read};
use crate::report::Failure;

use super::bus::{connect, failure, token, within};

/// How large the file is, in bytes.
const FILE: usize = 3 << 20;

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "shared state: edge2 writes its own, edge1 watches, and cannot write it",
            async { Ok(((), watch(demo).await?)) },
        )
        .await?;
    record
        .step(
            "a file from the hub to edge1, in chunks through the mesh",
            async { Ok(((), pass_file(demo).await?)) },
        )
        .await
}

async fn watch(demo: &Scenario) -> Result<String, Failure> {
    let (watcher, writer) = (connect(demo, EDGE1.0).await?, connect(demo, EDGE2.0).await?);
    let key = NodeState {
        node: token(EDGE2.0),
        key: token("mode"),
    };
    let seen = watcher
        .bucket::<NodeState>()
        .await
        .map_err(|error| failure(&error))?;
    let mut changes = seen.watch(&key).await.map_err(|error| failure(&error))?;
    let own = writer
        .bucket::<NodeState>()
        .await
        .map_err(|error| failure(&error))?;
    let start = Instant::now();
    let revision = own
        .put(&key, &json!("night"))
        .await
        .map_err(|error| failure(&error))?;
    within("the change", async {
        loop {
            match changes.next().await {
                Ok(Update::Entry(entry)) if entry.revision == revision => return Some(()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    })
    .await?;
    let took = start.elapsed();
    match seen.put(&key, &json!("forged")).await {
        Err(KvError::Publish(PublishError::Denied { .. })) => {}
        other => {
            return Err(Failure::failed(format!(
                "edge1 wrote edge2's state: {other:?}"
            )));
        }
    }
    Ok(format!(
        "edge2.mode at revision {revision}, seen by edge1 {:.1} ms after it was written",
        took.as_secs_f64() * 1e3
    ))
}

/// By the commands that a person would use.
async fn pass_file(demo: &Scenario) -> Result<String, Failure> {
    let (from, to) = (
        demo.directory(HUB.0).join("demo.image"),
        demo.directory(EDGE1.0).join("demo.image"),
    );
    // no two chunks are alike
    let content: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(FILE).collect();
    std::fs::write(&from, &content).map_err(|error| {
        Failure::environment(format!("cannot write {}: {error}", from.display()))
    })?;
    let path = |path: &std::path::Path| path.display().to_string();
    let bucket = FILES_BUCKET.to_string();
    let start = Instant::now();
    let (source, target) = (path(&from), path(&to));
    let put = [
        "bus",
        "object",
        "put",
        &bucket,
        &source,
        "--name",
        "demo/image",
    ];
    demo.ask(HUB.0, &put).await?;
    let get = ["bus", "object", "get", &bucket, "demo/image", "-o", &target];
    demo.ask(EDGE1.0, &get).await?;
    let took = start.elapsed();
    if read(&to)? != content {
        return Err(Failure::failed("edge1 has another file than the hub"));
    }
    let info: Value = demo
        .ask_json(EDGE1.0, &["bus", "object", "info", &bucket, "demo/image"])
        .await?;
    Ok(format!(
        "{} MiB in {} chunks, there and back out in {:.0} ms, the digest is right",
        FILE >> 20,
        info["chunks"],
        took.as_secs_f64() * 1e3
    ))
}
