use crate::rig::{Authority, Rig, SOON, python, skip, soon, token};
use swarm_bus::Topic as _;
use swarm_bus::permissions::Role;
use swarm_bus::topics::{Command, Commands, NodeEvents, Occurrence, PingCommand, Pong};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::test]
async fn another_client_is_let_in_by_its_certificate_alone_and_understands() {
    let test = "peer::nats_py";
    let Some(python) = python().or_else(|| skip(test, "no Python with nats-py")) else {
        return;
    };
    let users = [("rust", Role::Hub), ("peer", Role::Edge)];
    let Some(rig) = Rig::start(test, &users) else {
        return;
    };
    let own = rig.authority.client("peer");
    let stranger = Authority::new().client("peer");
    for (name, text) in [
        ("peer.pem", &own.chain),
        ("peer.key", &own.key),
        ("stranger.pem", &stranger.chain),
        ("stranger.key", &stranger.key),
    ] {
        rig.write(name, text);
    }
    let client = rig.client("rust").await;
    let mut events = client.subscribe(NodeEvents::any()).unwrap();
    let me = PingCommand {
        node: token("rust"),
    };
    let pings = client.requests(&me, None).unwrap();
    pings.barrier().await.unwrap();
    tokio::spawn(pings.serve(|message| async move {
        Ok(Pong {
            sent: message.payload.sent,
            answered: swarm_bus::topics::Timestamp(2),
        })
    }));

    let mut peer = rig.script(&python, "peer.py");
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let mut line = async || soon(lines.next_line()).await.unwrap().unwrap_or_default();
    assert!(line().await.starts_with("none: "));
    assert!(line().await.starts_with("stranger: "));
    assert_eq!(line().await, r#"pong: {"sent":1,"answered":2}"#);

    let event = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(event.topic.node, "peer");
    assert!(matches!(
        event.payload.event,
        Occurrence::Custom { name, .. } if name == "hello"
    ));
    let command = Commands::new(token("peer"), token("anything"));
    let body = Command(serde_json::json!([1, 2]));
    let reply = client.request(&command, &body, SOON).await.unwrap();
    assert_eq!(reply.0, serde_json::json!({"got": [1, 2]}));

    let mut stdin = peer.stdin.take().unwrap();
    stdin.write_all(b"\n").await.unwrap();
    drop(stdin);
    assert!(soon(peer.wait()).await.unwrap().success());
}
