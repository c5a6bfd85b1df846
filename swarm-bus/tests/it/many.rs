use crate::rig::{Rig, SOON, soon};
use std::time::Duration;
use swarm_bus::client::{
    Client, Fault, ManyBounds, ManyEnd, PublishError, Replies, RequestError, Requests,
};
use swarm_bus::permissions::{AllowResponses, Policy, Right, Role, Rule, Scope};
use swarm_bus::{Raw, Topic};

/// Asks everybody at once.
#[derive(Topic, Debug)]
#[topic("roll.call", payload = String, reply = String)]
struct RollCall;

/// The same question, answered in any bytes.
#[derive(Topic, Debug)]
#[topic("roll.call", payload = String, reply = bytes::Bytes, reply_codec = Raw)]
struct RawCall;

fn policy() -> Policy {
    let several = AllowResponses {
        max: 2000,
        ..AllowResponses::default()
    };
    Policy::new()
        .with(Rule::new::<RollCall>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with(Rule::new::<RollCall>(Role::Edge, Right::Serve, Scope::All))
        .with_responses(several)
}

const USERS: [(&str, Role); 5] = [
    ("op", Role::Operator),
    ("n1", Role::Edge),
    ("n2", Role::Edge),
    ("n3", Role::Edge),
    ("n4", Role::Edge),
];

async fn requests(client: &Client) -> Requests<RollCall> {
    let requests = client.requests(&RollCall, None).unwrap();
    requests.barrier().await.unwrap();
    requests
}

async fn serve_name(rig: &Rig, node: &'static str) -> Client {
    let client = rig.client(node).await;
    tokio::spawn(
        requests(&client)
            .await
            .serve(move |_| async move { Ok(node.to_owned()) }),
    );
    client
}

async fn all(replies: &mut Replies<RollCall>) -> Vec<Result<String, RequestError>> {
    let mut items = Vec::new();
    while let Some(item) = soon(replies.next()).await {
        items.push(item);
    }
    items
}

/// How many subscriptions the server holds for a node.
fn subscriptions(rig: &Rig, node: &str) -> u64 {
    let connz: serde_json::Value = serde_json::from_slice(&rig.monitor("/connz")).unwrap();
    let connections = connz["connections"].as_array().unwrap();
    let own = connections.iter().find(|c| c["name"] == node).unwrap();
    own["subscriptions"].as_u64().unwrap()
}

#[tokio::test]
async fn all_who_answer_are_heard_and_what_cannot_be_read_takes_its_place() {
    let Some(rig) = Rig::start_with("many::all", &USERS, &policy()) else {
        return;
    };
    let operator = rig.client("op").await;
    let _n1 = serve_name(&rig, "n1").await;
    let _n2 = serve_name(&rig, "n2").await;
    let n3 = rig.client("n3").await;
    let faults = requests(&n3).await;
    tokio::spawn(faults.serve(|_| async { Err(Fault::new(418, "no coffee")) }));
    let n4 = rig.client("n4").await;
    let raw = n4.requests(&RawCall, None).unwrap();
    raw.barrier().await.unwrap();
    tokio::spawn(raw.serve(|_| async { Ok("not json".into()) }));

    let bounds = ManyBounds::within(SOON).gap(Duration::from_secs(2));
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    assert_eq!(replies.end(), None);
    let items = all(&mut replies).await;
    assert_eq!(replies.end(), Some(ManyEnd::Gap));
    assert_eq!(items.len(), 4, "{items:?}");
    let fault = |item: &Result<_, _>| matches!(item, Err(RequestError::Fault(f)) if f.code == 418);
    assert_eq!(items.iter().filter(|item| fault(item)).count(), 1);
    let unread = |item: &&Result<_, _>| matches!(item, Err(RequestError::Decode(_)));
    assert_eq!(items.iter().filter(unread).count(), 1);
    let mut names: Vec<String> = items.into_iter().filter_map(Result::ok).collect();
    names.sort();
    assert_eq!(names, ["n1", "n2"]);

    let bounds = ManyBounds::within(SOON).max_messages(3);
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    assert_eq!(all(&mut replies).await.len(), 3);
    assert_eq!(replies.end(), Some(ManyEnd::Count));

    let bounds = ManyBounds::within(Duration::from_secs(2));
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    assert_eq!(all(&mut replies).await.len(), 4);
    assert_eq!(replies.end(), Some(ManyEnd::Time));
    assert_eq!(operator.statistics().awaited, 0);
}

#[tokio::test]
async fn one_who_answers_in_parts_marks_the_end() {
    let Some(rig) = Rig::start_with("many::parts", &USERS, &policy()) else {
        return;
    };
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let mut requests = requests(&edge).await;
    tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            for number in 0..5 {
                request.responder.respond_part(&number.to_string()).unwrap();
            }
            request.responder.finish().unwrap();
        }
    });
    let bounds = ManyBounds::within(SOON).end_marker();
    let mut replies = operator
        .request_many(&RollCall, &"count".into(), bounds)
        .unwrap();
    let items = all(&mut replies).await;
    assert_eq!(replies.end(), Some(ManyEnd::Marker));
    let parts: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(parts, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn an_absence_and_a_denial_are_said_at_once() {
    let Some(rig) = Rig::start_with("many::nobody", &USERS, &policy()) else {
        return;
    };
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let bounds = ManyBounds::within(SOON * 6);
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    let item = soon(replies.next()).await.unwrap();
    assert!(matches!(item, Err(RequestError::NoResponders { subject }) if subject == "roll.call"));
    assert!(soon(replies.next()).await.is_none());
    assert_eq!(replies.end(), Some(ManyEnd::Error));

    let mut replies = edge
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    let item = soon(replies.next()).await.unwrap();
    let denied = matches!(
        item,
        Err(RequestError::Publish(PublishError::Denied { .. }))
    );
    assert!(denied);
    assert!(soon(replies.next()).await.is_none());
}

#[tokio::test]
async fn an_asker_who_goes_early_leaves_nothing_behind() {
    let Some(rig) = Rig::start_with("many::early", &USERS, &policy()) else {
        return;
    };
    let operator = rig.client("op").await;
    let _n1 = serve_name(&rig, "n1").await;
    let _n2 = serve_name(&rig, "n2").await;
    let before = subscriptions(&rig, "op");
    let bounds = ManyBounds::within(SOON * 6);
    for _ in 0..200 {
        let mut replies = operator
            .request_many(&RollCall, &"who?".into(), bounds)
            .unwrap();
        soon(replies.next()).await.unwrap().unwrap();
        assert_eq!(operator.statistics().awaited, 1);
        drop(replies);
    }
    assert_eq!(operator.statistics().awaited, 0);
    operator.flush().await.unwrap();
    assert_eq!(subscriptions(&rig, "op"), before);
    // One that ended by itself holds no subscription, though it is still there.
    let bounds = ManyBounds::within(SOON).max_messages(1);
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    soon(replies.next()).await.unwrap().unwrap();
    operator.flush().await.unwrap();
    assert_eq!(subscriptions(&rig, "op"), before);
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn more_than_is_held_for_a_slow_asker_is_counted() {
    let Some(rig) = Rig::start_with("many::slow", &USERS, &policy()) else {
        return;
    };
    let mut options = rig.options("op");
    options.subscription_bytes = 64 << 10;
    let operator = crate::rig::connected(options).await;
    let edge = rig.client("n1").await;
    let mut requests = requests(&edge).await;
    tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            let part = "x".repeat(10_000);
            for _ in 0..100 {
                request.responder.respond_part(&part).unwrap();
            }
        }
    });
    let bounds = ManyBounds::within(Duration::from_secs(2));
    let mut replies = operator
        .request_many(&RollCall, &"flood".into(), bounds)
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let items = all(&mut replies).await;
    let read = items.iter().filter(|item| item.is_ok()).count() as u64;
    assert!((1..=6).contains(&read), "{read}");
    let Some(Err(RequestError::Missed { count })) = items.last() else {
        panic!("{items:?}");
    };
    assert_eq!(read + count, 100);
}

#[tokio::test]
async fn a_responder_killed_in_the_middle_and_a_lost_server_end_the_waiting() {
    let Some(mut rig) = Rig::start_with("many::killed", &USERS, &policy()) else {
        return;
    };
    let operator = rig.client("op").await;
    let _n1 = serve_name(&rig, "n1").await;
    // This one answers in part, and its connection goes before the rest.
    let edge = rig.client("n2").await;
    let mut requests = requests(&edge).await;
    let killed = tokio::spawn(async move {
        let request = requests.next().await.unwrap().unwrap();
        request.responder.respond_part(&"half".into()).unwrap();
        edge.flush().await.unwrap();
        // Nobody holds the client any more: its connection closes.
    });
    let bounds = ManyBounds::within(Duration::from_secs(3)).end_marker();
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    let items = all(&mut replies).await;
    assert_eq!(replies.end(), Some(ManyEnd::Time));
    let mut names: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    names.sort();
    assert_eq!(names, ["half", "n1"]);
    soon(killed).await.unwrap();

    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), ManyBounds::within(SOON * 6))
        .unwrap();
    assert_eq!(soon(replies.next()).await.unwrap().unwrap(), "n1");
    rig.kill();
    let item = soon(replies.next()).await.unwrap();
    assert!(matches!(item, Err(RequestError::LinkLost)));
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn answers_under_way_come_though_both_sides_replace_their_connections() {
    let Some(rig) = Rig::start_with("many::reload", &USERS, &policy()) else {
        return;
    };
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let mut requests = requests(&edge).await;
    let (go, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            request.responder.respond_part(&"before".into()).unwrap();
            wait.recv().await;
            request.responder.respond_part(&"after".into()).unwrap();
            request.responder.finish().unwrap();
        }
    });
    let bounds = ManyBounds::within(SOON).end_marker();
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    assert_eq!(soon(replies.next()).await.unwrap().unwrap(), "before");
    edge.reload().await.unwrap();
    operator.reload().await.unwrap();
    go.send(()).await.unwrap();
    assert_eq!(soon(replies.next()).await.unwrap().unwrap(), "after");
    assert!(soon(replies.next()).await.is_none());
    assert_eq!(replies.end(), Some(ManyEnd::Marker));
    // And a new one goes by the new connections.
    let mut replies = operator
        .request_many(&RollCall, &"who?".into(), bounds)
        .unwrap();
    go.send(()).await.unwrap();
    assert_eq!(all(&mut replies).await.len(), 2);
}
