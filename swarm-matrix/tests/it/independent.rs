//! What a client that is none of ours sees.

use std::process::Command;

use swarm_matrix::RoomSpec;

use crate::swarm::{session, soon, token, user};
use crate::synapse::shared;

/// matrix-nio: joins, syncs, prints each event of the room with its whole source.
const SCRIPT: &str = r#"
import asyncio, json, sys
from nio import AsyncClient, AsyncClientConfig

async def main(url, token, alias):
    config = AsyncClientConfig(encryption_enabled=False, store_sync_tokens=False)
    client = AsyncClient(url, "@outsider:swarm", config=config)
    print(type(await client.login_raw({"type": "org.matrix.login.jwt", "token": token})).__name__)
    await client.sync(timeout=0)
    print(type(await client.join(alias)).__name__, flush=True)
    sys.stdin.readline()
    sync = await client.sync(timeout=10000, full_state=True)
    for room in sync.rooms.join.values():
        for event in room.state + room.timeline.events:
            print("EVENT", json.dumps(event.source))
    await client.close()

asyncio.run(main(*sys.argv[1:]))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_client_sees_state_and_no_plaintext() {
    let Some(synapse) = shared("an_independent_client_sees_state_and_no_plaintext") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let host = session(synapse, "host", dir.path()).await;
    let room = soon("room", host.ensure_room(&RoomSpec::new("parlour")))
        .await
        .unwrap();

    let mut nio = Command::new(synapse.python())
        .args([
            "-c",
            SCRIPT,
            &synapse.url(),
            token("outsider").expose(),
            "#parlour:swarm",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    soon("outsider", async {
        while host.membership(&room, &user("outsider")).unwrap() != swarm_matrix::Membership::Joined
        {
            assert!(nio.try_wait().unwrap().is_none(), "matrix-nio ended early");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let state = swarm_matrix::NodeState::new(swarm_matrix::NodeStatus::Up, 1);
    host.publish_state(&room, &state).await.unwrap();
    host.send_text(&room, "the quiet part").await.unwrap();
    drop(nio.stdin.take());
    let output = soon(
        "matrix-nio",
        tokio::task::spawn_blocking(|| nio.wait_with_output()),
    )
    .await
    .unwrap()
    .unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(seen.starts_with("LoginResponse\nJoinResponse\n"), "{seen}");
    assert!(seen.contains("org.sovereign-swarm.node"), "{seen}");
    assert!(
        seen.contains("\"m.megolm.v1.aes-sha2\", \"ciphertext\"") || seen.contains("ciphertext")
    );
    assert!(!seen.contains("quiet"), "{seen}");
}
