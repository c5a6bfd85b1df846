//! `swarm bus service` and `deadletter`.

use serde_json::json;
use swarm_bus::Token;
use swarm_bus::topics::{CommandReply, Commands};

use super::{Hub, event};
use crate::program::{json_of, lines_of, words};

#[test]
fn services_and_dead_letters_are_a_hubs() {
    let Some(hub) = Hub::start("bus::services::services") else {
        return;
    };
    hub.make_streams();
    let none = hub
        .hub(&["bus", "service", "ls", "--wait", "300ms"])
        .success();
    assert_eq!(none.trim(), "no service answered");
    hub.edge(&["bus", "service", "ls"])
        .failure(1, &["not permitted", "--explain"]);
    hub.hub(&words("bus service info a.b"))
        .failure(2, &["name of a service"]);
    hub.hub(&["bus", "deadletter", "ls"])
        .failure(1, &["nobody keeps dead letters"]);
    hub.edge(&["bus", "deadletter", "ls"])
        .failure(1, &["not permitted"]);

    // A message that somebody gives up.
    hub.edge(&[
        "bus",
        "pub",
        "swarm.events.node.edge1",
        &event(7),
        "--stored",
    ])
    .success();
    hub.as_member(&hub.swarm, async |bus| {
        use swarm_bus::dead_letter::Keeper;
        use swarm_bus::service::{EndpointConfig, ServiceConfig, ServiceName};
        use swarm_bus::topics::{NODE_SERVICE, NodeEvents, events_consumer};
        let mut keeper = Keeper::start(&bus).await.unwrap();
        let config = events_consumer(&Token::from_static("command0"));
        bus.ensure_consumer(&config).await.unwrap();
        let mut events = bus
            .consumer::<NodeEvents>(&config.stream, &config.durable)
            .await
            .unwrap();
        events.next().await.unwrap().term().unwrap();
        keeper.next().await.unwrap();
        let mut config = ServiceConfig::new(NODE_SERVICE, "1.2.3".parse().unwrap());
        config.metadata.insert("node".into(), "command0".into());
        let service = bus.service(config).await.unwrap();
        let endpoint = EndpointConfig::new(ServiceName::from_static("commands"));
        let filter = Commands::filter(Some(&Token::from_static("command0")), None);
        service
            .endpoint(endpoint, filter, |_| async { Ok(CommandReply::default()) })
            .await
            .unwrap();
        let found = json_of(hub.on_other_thread(&words("--json bus service ls")).await);
        assert_eq!(found[0]["name"], "swarm-node");
        let table = hub
            .on_other_thread(&["bus", "service", "ls"])
            .await
            .success();
        assert!(
            table.contains("command0") && table.contains("swarm.commands.command0.*"),
            "{table}"
        );
        let info = hub
            .on_other_thread(&words("bus service info swarm-node"))
            .await
            .success();
        assert!(info.contains("swarm-node 1.2.3"), "{info}");
        let stats = hub
            .on_other_thread(&["bus", "service", "stats"])
            .await
            .success();
        assert!(stats.contains("swarm.commands.command0.*"), "{stats}");
    });
    let letters = lines_of(&hub.hub(&words("--json bus deadletter ls")).success());
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["subject"], "swarm.events.node.edge1");
    let number = letters[0]["number"].to_string();
    let shown = hub.hub(&["bus", "deadletter", "show", &number]).success();
    assert!(shown.contains("\"at\": 7"), "{shown}");
    let replayed = json_of(hub.hub(&["--json", "bus", "deadletter", "replay", &number]));
    assert_eq!(
        (&replayed["stream"], &replayed["sequence"]),
        (&json!("SWARM_EVENTS"), &json!(2))
    );
    hub.hub(&["bus", "deadletter", "replay", &number])
        .failure(1, &["no dead letter"]);
    hub.hub(&words("bus deadletter rm 99"))
        .failure(1, &["no dead letter 99"]);
    let none = hub.hub(&["bus", "deadletter", "ls"]).success();
    assert_eq!(none.trim(), "there are no dead letters");
}
