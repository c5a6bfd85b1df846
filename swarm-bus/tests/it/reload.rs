use crate::rig::{Rig, SOON, connected, soon, token};
use std::collections::BTreeMap;
use std::time::Duration;
use swarm_bus::Token;
use swarm_bus::Topic as _;
use swarm_bus::client::{Client, Fault, Subscription};
use swarm_bus::monitor::Connz;
use swarm_bus::permissions::Role;
use swarm_bus::topics::{
    Command, CommandReply, Commands, NodeEvent, NodeEvents, Occurrence, Samples, Telemetry,
    Timestamp,
};

const MESSAGES: u64 = 800;
const PACE: Duration = Duration::from_millis(5);
const RELOADS: usize = 5;

/// Publishes the numbers from 0 on, 200 a second.
async fn publish_events(client: Client, node: Token) {
    let topic = NodeEvents { node };
    let mut pace = tokio::time::interval(PACE);
    for number in 0..MESSAGES {
        pace.tick().await;
        let event = NodeEvent {
            at: Timestamp(number),
            event: Occurrence::Up,
        };
        client.publish(&topic, &event).unwrap();
    }
    client.flush().await.unwrap();
}

/// Reads the events of one node: every number once, in order.
async fn read_events(mut events: Subscription<NodeEvents>) {
    for expected in 0..MESSAGES {
        let message = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(message.payload.at, Timestamp(expected));
    }
}

/// Reads the samples that come to one member of a group, and counts each number.
async fn read_samples(mut samples: Subscription<Telemetry>) -> BTreeMap<u64, u32> {
    let mut seen = BTreeMap::new();
    loop {
        let quiet = Duration::from_secs(3);
        match tokio::time::timeout(quiet, samples.next()).await {
            Ok(item) => *seen.entry(item.unwrap().unwrap().payload.at.0).or_default() += 1,
            Err(_) => return seen,
        }
    }
}

#[tokio::test]
async fn five_reloads_lose_nothing_double_nothing_and_keep_the_order() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("reload::exactly_once", &users) else {
        return;
    };
    let (hub_options, hub_wallet) = rig.options_and_wallet("hub");
    let (edge_options, edge_wallet) = rig.options_and_wallet("n1");
    let (hub, edge) = (connected(hub_options).await, connected(edge_options).await);

    let node = |name: &str| NodeEvents::filter(Some(&token(name)));
    let from_hub = edge.subscribe(node("hub")).unwrap();
    let from_edge = hub.subscribe(node("n1")).unwrap();
    let member = || {
        hub.queue_subscribe(Telemetry::any(), token("group"))
            .unwrap()
    };
    let (first, second) = (member(), member());
    let requests = edge
        .requests(
            Commands::filter(Some(&token("n1")), None),
            Some(token("group")),
        )
        .unwrap();
    from_hub.barrier().await.unwrap();
    from_edge.barrier().await.unwrap();
    requests.barrier().await.unwrap();

    let serving = tokio::spawn(requests.serve(|message| async move {
        // Longer than a reload takes: some are under way at each.
        tokio::time::sleep(Duration::from_millis(150)).await;
        Ok::<_, Fault>(CommandReply(message.payload.0))
    }));
    let work = [
        tokio::spawn(publish_events(hub.clone(), token("hub"))),
        tokio::spawn(publish_events(edge.clone(), token("n1"))),
        tokio::spawn(read_events(from_hub)),
        tokio::spawn(read_events(from_edge)),
        tokio::spawn(publish_samples(edge.clone())),
        tokio::spawn(ask(hub.clone())),
    ];
    let (first, second) = (
        tokio::spawn(read_samples(first)),
        tokio::spawn(read_samples(second)),
    );

    let before = connections(&rig);
    for _ in 0..RELOADS {
        tokio::time::sleep(Duration::from_millis(550)).await;
        hub_wallet.put(rig.authority.client("hub"));
        edge_wallet.put(rig.authority.client("n1"));
        let (a, b) = tokio::join!(hub.reload(), edge.reload());
        a.unwrap();
        b.unwrap();
    }
    for task in work {
        task.await.unwrap();
    }
    let mut seen = first.await.unwrap();
    for (number, times) in second.await.unwrap() {
        *seen.entry(number).or_default() += times;
    }
    assert_eq!(seen.len() as u64, MESSAGES, "samples lost");
    assert!(seen.values().all(|times| *times == 1), "samples doubled");

    for client in [&hub, &edge] {
        let statistics = client.statistics();
        assert_eq!(statistics.reloads, RELOADS as u64);
        assert_eq!((statistics.reconnects, statistics.missed), (0, 0));
    }
    // The connections are others, and those before are gone.
    let mut after = connections(&rig);
    for _ in 0..200 {
        if after.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = connections(&rig);
    }
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|cid| !before.contains(cid)));
    serving.abort();
}

fn connections(rig: &Rig) -> Vec<u64> {
    let connz = Connz::parse(&rig.monitor("/connz?auth=1")).unwrap();
    connz.connections.iter().map(|c| c.cid).collect()
}

async fn publish_samples(client: Client) {
    let topic = Telemetry {
        node: token("n1"),
        kind: token("host"),
    };
    let mut pace = tokio::time::interval(PACE);
    for number in 0..MESSAGES {
        pace.tick().await;
        client
            .publish(&topic, &Samples::new(Timestamp(number)))
            .unwrap();
    }
    client.flush().await.unwrap();
}

/// Every request is answered, also when both sides replace their connections meanwhile.
async fn ask(client: Client) {
    let topic = Commands::new(token("n1"), token("echo"));
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut under_way = Vec::new();
    for number in 0..MESSAGES / 4 {
        pace.tick().await;
        let (client, topic) = (client.clone(), topic.clone());
        under_way.push(tokio::spawn(async move {
            let body = Command(number.into());
            let reply = client.request(&topic, &body, SOON).await.unwrap();
            assert_eq!(reply.0, body.0);
        }));
    }
    for request in under_way {
        request.await.unwrap();
    }
}

#[tokio::test]
async fn a_reload_with_a_bad_certificate_leaves_the_connection_as_it_is() {
    let Some(rig) = Rig::start("reload::bad", &[("n1", Role::Edge)]) else {
        return;
    };
    let (options, wallet) = rig.options_and_wallet("n1");
    let client = connected(options).await;
    let before = connections(&rig);
    wallet.put(crate::rig::Authority::new().client("n1"));
    let error = client.reload().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("does not accept our certificate"), "{cause}");
    client.flush().await.unwrap();
    assert!(client.states().current().is_connected());
    assert_eq!(connections(&rig), before);
}
