//! `swarm bus pub`, `sub` and `request`: messages by hand.

use std::time::Duration;

use serde_json::json;
use swarm_bus::Token;
use swarm_bus::client::Fault;
use swarm_bus::topics::{CommandReply, Commands};

use super::{Hub, event};
use crate::lab::{ended, until};
use crate::program::{Swarm, lines_of, words};

#[test]
fn messages_are_published_and_heard() {
    let Some(hub) = Hub::start("bus::messages::heard") else {
        return;
    };
    let arguments = words("--json bus sub swarm.events.> --count 2 --time 30s");
    let mut listener = hub.start_command(&hub.swarm, &arguments);
    // what is published before it listens does not reach it
    until("two messages came", || {
        hub.edge(&["bus", "pub", "swarm.events.node.edge1", &event(1)])
            .success();
        listener.try_wait().unwrap().is_some()
    });
    let heard = ended(listener, "bus sub").success();
    let heard = lines_of(&heard);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0]["subject"], "swarm.events.node.edge1");
    assert_eq!(
        heard[0]["payload"],
        json!({"at": 1, "event": {"kind": "up"}})
    );
    assert!(heard[0]["age_milliseconds"].as_u64().unwrap() > 1_000_000_000_000);

    // Time without a message: fine, unless some were asked for.
    hub.edge(&words("bus sub --time 200ms")).success();
    hub.edge(&words("bus sub --time 200ms --count 1"))
        .failure(1, &["0 of 1 messages"]);
    hub.edge(&["bus", "pub", "swarm.events.node.other", &event(1)])
        .failure(1, &["not permitted", "--explain 'swarm.events.node.other'"]);
    hub.edge(&words("bus pub swarm.events.node.edge1 {}"))
        .failure(2, &["not of the topic's type", "--schema NodeEvents"]);
    hub.edge(&["bus", "request", "swarm.commands.command0.ping"])
        .failure(1, &["nobody serves"]);
    hub.edge(&["bus", "sub", "elsewhere.>"])
        .failure(2, &["no topic", "swarm bus permissions"]);
}

#[test]
fn many_answers_are_taken_as_they_come() {
    let Some(hub) = Hub::start("bus::messages::many") else {
        return;
    };
    let status = "swarm.commands.edge1.status";
    hub.hub(&["bus", "request", status, "--replies", "all"])
        .failure(1, &["nobody serves"]);
    hub.as_member(&hub.edge, async |bus| {
        // two who serve the same, by connections of their own: each may answer once
        let layout = swarm::Layout::new(hub.edge.path("")).unwrap();
        let other = swarm::Member::open(layout, None).unwrap().bus();
        other.connected(Duration::from_secs(10)).await.unwrap();
        for (number, bus) in [&bus, &other].into_iter().enumerate() {
            let filter = Commands::filter(Some(&Token::from_static("edge1")), None);
            let requests = bus.requests(filter, None).unwrap();
            requests.barrier().await.unwrap();
            tokio::spawn(requests.serve(move |call| {
                std::future::ready(match call.topic.verb.as_str() {
                    "fail" => Err(Fault::new(500, "broken")),
                    _ => Ok(CommandReply(json!(number))),
                })
            }));
        }
        let ask = async |arguments: &[&str]| {
            hub.on_other_thread(&[&["--json", "bus", "request"], arguments].concat())
                .await
        };
        let two = lines_of(&ask(&[status, "--replies", "2"]).await.success());
        let mut replies: Vec<_> = two
            .iter()
            .map(|line| line["reply"].as_u64().unwrap())
            .collect();
        replies.sort_unstable();
        assert_eq!(replies, [0, 1]);
        let all = ask(&[status, "--replies", "all", "--timeout", "1s"]).await;
        assert_eq!(lines_of(&all.success()).len(), 2);
        let three = ask(&[status, "--replies", "3", "--timeout", "1s"]).await;
        assert_eq!(three.code, Some(1));
        assert!(three.said.contains("2 of 3 answers"), "{}", three.said);
        let failed = ask(&words(
            "swarm.commands.edge1.fail --replies all --gap 500ms",
        ))
        .await;
        assert_eq!((failed.code, lines_of(&failed.output).len()), (Some(1), 2));
        assert!(
            failed.said.contains("all 2 answers are errors"),
            "{}",
            failed.said
        );
    });
    hub.hub(&["bus", "request", status, "--replies", "0"])
        .code
        .filter(|code| *code == 2)
        .unwrap();
}

#[test]
fn what_is_not_published_is_refused_with_the_command_for_it() {
    let Some(hub) = Hub::start("bus::messages::publish") else {
        return;
    };
    for (subject, hint) in [
        (
            "swarm.commands.edge1.reboot",
            "swarm bus request swarm.commands.edge1.reboot",
        ),
        ("$KV.swarm-state.edge1.mode", "swarm bus kv put"),
        ("swarm.trust.bundle", "swarm ca"),
    ] {
        hub.hub(&["bus", "pub", subject, "null"])
            .failure(2, &["no topic that one publishes", hint]);
    }
    hub.make_streams();
    let endpoints = json!({"at": 1, "observed": ["192.0.2.1:51820"]}).to_string();
    let put = [
        "bus",
        "pub",
        "swarm.endpoints.edge1",
        &endpoints,
        "--stored",
    ];
    hub.hub(&put).success();
    hub.edge(&put).failure(1, &["not permitted"]);
    // The spool is the running node's.
    let spool = |subject: &str| hub.edge.run(&["bus", "pub", "--spool", subject, &event(1)]);
    spool("swarm.events.node.edge1").failure(1, &["swarm up"]);
    spool("swarm.events.node.other").failure(2, &["not this node"]);
    spool("swarm.telemetry.edge1.x").failure(2, &["not spooled"]);
    Swarm::new()
        .run(&[
            "bus",
            "pub",
            "--spool",
            "swarm.events.node.edge1",
            &event(1),
        ])
        .failure(2, &["no node"]);
}
