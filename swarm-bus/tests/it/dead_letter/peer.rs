//! Letters of what another library gives up.

use super::{all, kept, make_jobs, policy};
use crate::rig::{Rig, SOON, python, skip, soon};
use swarm_bus::dead_letter::{DeadLetters, Keeper};
use swarm_bus::permissions::Role;
use swarm_bus::stream::Retention;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::test]
async fn a_job_that_another_library_gives_up_is_kept_read_and_replayed() {
    let test = "dead_letter::nats_py";
    let Some(python) = python().or_else(|| skip(test, "no Python with nats-py")) else {
        return;
    };
    let users = [
        ("hub", Role::Hub),
        ("keeper", Role::Operator),
        ("peer", Role::Hub),
    ];
    let Some(rig) = Rig::start_with(test, &users, &policy()) else {
        return;
    };
    let own = rig.authority.client("peer");
    rig.write("peer.pem", &own.chain);
    rig.write("peer.key", &own.key);
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut keeper = Keeper::start(&operator).await.unwrap();
    let mut peer = rig.script(&python, "worker.py");
    let mut stdin = peer.stdin.take().unwrap();
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let mut line = async || soon(lines.next_line()).await.unwrap().unwrap_or_default();
    assert_eq!(line().await, "3");
    assert_eq!(kept(&mut keeper).await, (1, false, true));

    stdin.write_all(b"\n").await.unwrap();
    let letter = line().await;
    let (subject, rest) = letter.split_once(' ').unwrap();
    let (payload, headers) = rest.split_once(' ').unwrap();
    assert_eq!((subject, payload), ("dead.JOBS.n1.1", "7"));
    let headers: serde_json::Value = serde_json::from_str(headers).unwrap();
    for (name, value) in [
        ("Nats-Msg-Id", "dead.JOBS.n1.1"),
        ("Dead-Letter-Stream", "JOBS"),
        ("Dead-Letter-Consumer", "n1"),
        ("Dead-Letter-Sequence", "1"),
        ("Dead-Letter-Deliveries", "3"),
        ("Dead-Letter-Cause", "max-deliveries"),
        ("Dead-Letter-Subject", "jobs.main"),
        ("Dead-Letter-Kept-Nats-Msg-Id", "first"),
        ("Trace", "python"),
    ] {
        assert_eq!(headers[name], value, "{headers}");
    }

    let letter = all(&operator).await.remove(0);
    let shelf = DeadLetters::new(&operator);
    shelf.replay(&letter, SOON).await.unwrap();
    stdin.write_all(b"\n").await.unwrap();
    assert_eq!(
        line().await,
        r#"7 {"Trace": "python", "Nats-Msg-Id": "replay.dead.JOBS.n1.1"}"#
    );
    drop(stdin);
    assert!(soon(peer.wait()).await.unwrap().success());
}
