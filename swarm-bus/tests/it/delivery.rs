use crate::rig::{Rig, SOON, connected, soon, token};
use std::time::Duration;
use swarm_bus::client::{
    Fault, Operation, PublishError, ReceiveError, RequestError, SubscribeError,
};
use swarm_bus::permissions::Role;
use swarm_bus::topics::{
    Alert, Command, CommandReply, Commands, NodeEvent, NodeEvents, Occurrence, Samples, Severity,
    Telemetry, Timestamp,
};
use swarm_bus::{Raw, Topic};

/// The same subjects as `NodeEvents`, but any bytes.
#[derive(Topic, Debug)]
#[topic("swarm.events.node.{node}", payload = bytes::Bytes, codec = Raw)]
struct RawEvents {
    node: swarm_bus::Token,
}

/// The same subjects as `NodeEvents`, in a format of the future.
#[derive(Topic, Debug)]
#[topic("swarm.events.node.{node}", payload = bytes::Bytes, codec = Raw, schema = 2)]
struct FutureEvents {
    node: swarm_bus::Token,
}

fn up(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Up,
    }
}

#[tokio::test]
async fn messages_arrive_typed_and_what_cannot_be_read_takes_its_place() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("delivery::typed", &users) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let mut events = edge.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();

    let own = NodeEvents { node: token("n1") };
    edge.publish(&own, &up(1)).unwrap();
    let raw = RawEvents { node: token("n2") };
    hub.publish(&raw, &"not json".into()).unwrap();
    let future = FutureEvents { node: token("n2") };
    hub.publish(&future, &"{}".into()).unwrap();
    let third = NodeEvents { node: token("n3") };
    let flushed = hub.publish_flushed(&third, &up(4)).await.unwrap();
    edge.flush().await.unwrap();

    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(soon(events.next()).await.unwrap());
    }
    let undecodable = |item: &Result<_, ReceiveError>| matches!(item, Err(ReceiveError::Undecodable { payload, .. }) if payload == "not json");
    let newer = |item: &Result<_, ReceiveError>| {
        matches!(
            item,
            Err(ReceiveError::Schema {
                found: 2,
                known: 1,
                ..
            })
        )
    };
    assert_eq!(seen.iter().filter(|item| undecodable(item)).count(), 1);
    assert_eq!(seen.iter().filter(|item| newer(item)).count(), 1);
    let good: Vec<_> = seen.into_iter().filter_map(Result::ok).collect();
    assert_eq!(good.len(), 2);
    let last = good.iter().find(|m| m.topic.node == "n3").unwrap();
    assert_eq!(last.payload, up(4));
    assert_eq!(last.headers.id(), Some(flushed.id.as_str()));
    assert_eq!(edge.statistics().undecodable, 2);
    assert_eq!(edge.statistics().messages_in, 4);
}

#[tokio::test]
async fn who_claims_to_be_another_is_found_out_by_the_subject() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("delivery::forged", &users) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let mut events = hub.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();
    let alert = |node: &str| NodeEvent {
        at: Timestamp(1),
        event: Occurrence::Alert(Alert {
            severity: Severity::Critical,
            key: "disk".into(),
            summary: "full".into(),
            detail: None,
            resolved: false,
            labels: [("node".to_owned(), node.to_owned())].into(),
        }),
    };
    let own = NodeEvents { node: token("n1") };
    // The server lets an edge write what it likes, on its own subject.
    edge.publish_flushed(&own, &alert("n2")).await.unwrap();
    edge.publish_flushed(&own, &alert("n1")).await.unwrap();
    let forged = soon(events.next()).await.unwrap();
    let Err(ReceiveError::Forged { subject, source }) = forged else {
        panic!("{forged:?}");
    };
    assert_eq!(subject, "swarm.events.node.n1");
    assert_eq!(
        (source.claimed.as_str(), source.proven),
        ("n2", token("n1"))
    );
    let message = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, alert("n1"));
    assert_eq!(hub.statistics().undecodable, 1);
}

#[tokio::test]
async fn what_is_not_permitted_is_a_typed_error_and_never_a_timeout() {
    let Some(rig) = Rig::start("delivery::denied", &[("n1", Role::Edge)]) else {
        return;
    };
    let edge = rig.client("n1").await;
    let mut denials = edge.denials();
    let foreign = NodeEvents { node: token("n2") };
    let command = Commands::new(token("n2"), token("reboot"));

    let flushed = edge.publish_flushed(&foreign, &up(1)).await;
    assert!(matches!(flushed, Err(PublishError::Denied { subject }) if subject.ends_with("n2")));
    let stored = edge.publish_stored(&foreign, &up(1)).await;
    assert!(matches!(stored, Err(PublishError::Denied { .. })));
    let asked = edge.request(&command, &Command::default(), SOON).await;
    let denied = RequestError::Publish(PublishError::Denied {
        subject: "swarm.commands.n2.reboot".into(),
    });
    assert_eq!(asked.unwrap_err().to_string(), denied.to_string());

    let mut telemetry = edge.subscribe(Telemetry::any()).unwrap();
    let barrier = telemetry.barrier().await;
    assert!(matches!(barrier, Err(SubscribeError::Denied { .. })));
    let item = soon(telemetry.next()).await.unwrap();
    assert!(matches!(item, Err(ReceiveError::Denied { .. })));

    // A publication that nobody waits for is told too.
    edge.publish(&foreign, &up(2)).unwrap();
    edge.flush().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(soon(denials.next()).await.unwrap().unwrap());
    }
    let subscriptions = seen.iter().filter(|d| d.operation == Operation::Subscribe);
    assert_eq!(subscriptions.count(), 1);
    assert_eq!(edge.statistics().denied, 5);
}

#[tokio::test]
async fn a_request_is_answered_and_an_absence_is_said_at_once() {
    let users = [
        ("op", Role::Operator),
        ("n1", Role::Edge),
        ("n2", Role::Edge),
    ];
    let Some(rig) = Rig::start("delivery::request", &users) else {
        return;
    };
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let requests = edge
        .requests(Commands::filter(Some(&token("n1")), None), None)
        .unwrap();
    requests.barrier().await.unwrap();
    tokio::spawn(requests.serve(|message| async move {
        match message.topic.verb.as_str() {
            "echo" => Ok(CommandReply(message.payload.0)),
            "sleep" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(CommandReply::default())
            }
            verb => Err(Fault::new(404, format!("no verb {verb}"))),
        }
    }));

    let verb = |verb: &str| Commands::new(token("n1"), token(verb));
    let body = Command(serde_json::json!({"n": 7}));
    let reply = operator.request(&verb("echo"), &body, SOON).await.unwrap();
    assert_eq!(reply.0, body.0);
    let fault = operator.request(&verb("fly"), &body, SOON).await;
    assert!(matches!(fault, Err(RequestError::Fault(fault)) if fault.code == 404));
    let short = Duration::from_millis(200);
    let late = operator.request(&verb("sleep"), &body, short).await;
    assert!(matches!(late, Err(RequestError::TimedOut { .. })));
    let nobody = Commands::new(token("n2"), token("echo"));
    let nobody = operator.request(&nobody, &body, SOON).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })));

    // What an edge may ask of an edge: whether it is there.
    use swarm_bus::topics::{Ping, PingCommand};
    let ping = Ping { sent: Timestamp(1) };
    let to = PingCommand { node: token("n1") };
    let answer = rig.client("n2").await.request(&to, &ping, SOON).await;
    assert!(matches!(answer, Err(RequestError::Fault(fault)) if fault.code == 404));
}

#[tokio::test]
async fn after_its_barrier_a_subscription_misses_nothing() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("delivery::barrier", &users) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    for number in 0..150 {
        let mut events = edge.subscribe(NodeEvents::any()).unwrap();
        events.barrier().await.unwrap();
        let topic = NodeEvents { node: token("n9") };
        hub.publish(&topic, &up(number)).unwrap();
        let message = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, up(number));
    }
}

#[tokio::test]
async fn a_full_subscription_says_how_many_it_dropped_and_goes_on() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("delivery::slow", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut options = rig.options("n1");
    options.subscription_messages = 10;
    let edge = connected(options).await;
    let mut events = edge.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();
    let topic = NodeEvents { node: token("n9") };
    for number in 0..25 {
        hub.publish(&topic, &up(number)).unwrap();
    }
    hub.flush().await.unwrap();
    // The barrier's answer comes after the messages.
    events.barrier().await.unwrap();
    for number in 0..10 {
        let message = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, up(number));
    }
    let missed = soon(events.next()).await.unwrap();
    assert!(matches!(missed, Err(ReceiveError::Missed { count: 15 })));
    assert_eq!(edge.statistics().missed, 15);
    hub.publish_flushed(&topic, &up(99)).await.unwrap();
    let message = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, up(99));
}

#[tokio::test]
async fn a_queue_group_shares_and_too_large_a_message_is_refused() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("delivery::group", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut first = hub
        .queue_subscribe(Telemetry::any(), token("workers"))
        .unwrap();
    let mut second = hub
        .queue_subscribe(Telemetry::any(), token("workers"))
        .unwrap();
    first.barrier().await.unwrap();
    second.barrier().await.unwrap();
    let edge = rig.client("n1").await;
    let topic = Telemetry {
        node: token("n1"),
        kind: token("host"),
    };
    for number in 0..200 {
        let mut samples = Samples::new(Timestamp(number));
        samples.set("load_1m", 0.1);
        edge.publish(&topic, &samples).unwrap();
    }
    edge.flush().await.unwrap();
    first.barrier().await.unwrap();
    let (mut a, mut b) = (0, 0);
    while a + b < 200 {
        tokio::select! {
            item = first.next() => { item.unwrap().unwrap(); a += 1; }
            item = second.next() => { item.unwrap().unwrap(); b += 1; }
            () = tokio::time::sleep(SOON) => panic!("{a} + {b}"),
        }
    }
    assert!(a > 20 && b > 20, "{a} and {b}");

    let raw = RawEvents { node: token("n1") };
    let large = bytes::Bytes::from(vec![0; 1 << 20]);
    let refused = edge.publish(&raw, &large);
    assert!(matches!(
        refused,
        Err(PublishError::TooLarge { max: 1_048_576, .. })
    ));
}
