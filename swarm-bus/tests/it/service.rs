use crate::rig::{Rig, SOON, python, skip, soon, token};
use serde_json::json;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;
use swarm_bus::client::{
    Client, Fault, ManyBounds, Message, PublishError, RequestError, State, SubscribeError,
};
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::service::{
    EndpointConfig, Service, ServiceConfig, ServiceError, ServiceInfo, ServiceName, ServicePing,
    ServiceQuery, ServiceStats, StopError,
};
use swarm_bus::{Raw, Topic};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Notify;

#[derive(Topic, Debug)]
#[topic("calc.halve", payload = i64, reply = i64)]
struct Halve;

/// The same subject, asked in any bytes.
#[derive(Topic, Debug)]
#[topic("calc.halve", payload = bytes::Bytes, codec = Raw, reply = i64)]
struct RawHalve;

#[derive(Topic, Debug)]
#[topic("pycalc.halve", payload = i64, reply = i64)]
struct PyHalve;

const USERS: [(&str, Role); 4] = [
    ("op", Role::Operator),
    ("n1", Role::Edge),
    ("n2", Role::Edge),
    ("hub", Role::Hub),
];

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

/// Edges provide `calc`, operators find and ask it, hubs may nothing.
fn policy() -> Policy {
    let provide = Right::Provide(name("calc"));
    Policy::new()
        .with(Rule::new::<Halve>(Role::Edge, provide, Scope::All))
        .with(Rule::new::<Halve>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with_service_discovery(Role::Operator)
}

async fn halve(message: Message<Halve>) -> Result<i64, Fault> {
    match message.payload {
        // a panic as any other, but nothing is printed
        666 => resume_unwind(Box::new("a handler's own mistake")),
        even if even % 2 == 0 => Ok(even / 2),
        _ => Err(Fault::new(422, "odd")),
    }
}

async fn calc(client: &Client) -> Service {
    let mut config = ServiceConfig::new(name("calc"), "1.2.0".parse().unwrap());
    config.description = "halves numbers".into();
    config.metadata.insert("room".into(), "attic".into());
    let service = client.service(config).await.unwrap();
    let mut endpoint = EndpointConfig::new(name("halve"));
    endpoint.metadata.insert("unit".into(), "1".into());
    service.endpoint(endpoint, &Halve, halve).await.unwrap();
    service
}

fn briefly() -> ManyBounds {
    ManyBounds::within(SOON).gap(Duration::from_secs(1))
}

async fn found(client: &Client) -> Vec<ServiceInfo> {
    let found = client.services(briefly()).await.unwrap();
    assert!(found.unreadable.is_empty(), "{found:?}");
    found.services
}

#[tokio::test]
async fn instances_are_found_share_the_requests_and_count_them() {
    let Some(rig) = Rig::start_with("service::share", &USERS, &policy()) else {
        return;
    };
    let operator = rig.client("op").await;
    assert!(found(&operator).await.is_empty());
    let (n1, n2) = (rig.client("n1").await, rig.client("n2").await);
    let (first, second) = (calc(&n1).await, calc(&n2).await);
    assert_ne!(first.id(), second.id());

    let services = found(&operator).await;
    assert_eq!(services.len(), 2);
    assert!(services.contains(&first.info()) && services.contains(&second.info()));
    let endpoint = &services[0].endpoints[0];
    assert_eq!(
        (endpoint.subject.as_str(), endpoint.queue_group.as_str()),
        ("calc.halve", "q")
    );
    assert_eq!(services[0].metadata["room"], "attic");

    for number in 0..100 {
        let half = operator.request(&Halve, &(number * 2), SOON).await.unwrap();
        assert_eq!(half, number);
    }
    let odd = operator.request(&Halve, &7, SOON).await;
    assert!(matches!(odd, Err(RequestError::Fault(f)) if f == Fault::new(422, "odd")));
    let unread = operator.request(&RawHalve, &"seven".into(), SOON).await;
    assert!(matches!(unread, Err(RequestError::Fault(f)) if f.code == 400));
    let panicked = operator.request(&Halve, &666, SOON).await;
    assert!(matches!(panicked, Err(RequestError::Fault(f)) if f.code == 500));
    assert_eq!(operator.request(&Halve, &8, SOON).await.unwrap(), 4);

    let mut replies = operator
        .query_services(
            &ServiceQuery::<ServiceStats>::named(name("calc")),
            briefly(),
        )
        .unwrap();
    let mut stats = Vec::new();
    while let Some(reply) = soon(replies.next()).await {
        stats.push(reply.unwrap());
    }
    assert_eq!(stats.len(), 2);
    let ends: Vec<_> = stats.iter().map(|s| &s.endpoints[0]).collect();
    assert!(ends.iter().all(|end| end.num_requests > 10), "{ends:?}");
    assert_eq!(ends[0].num_requests + ends[1].num_requests, 104);
    assert_eq!(ends[0].num_errors + ends[1].num_errors, 3);
    assert!(
        ends.iter()
            .any(|end| end.last_error == "500:the handler panicked")
    );
    for end in ends {
        assert!(end.processing_time > end.average_processing_time);
        assert!(!end.average_processing_time.is_zero());
    }

    let query = ServiceQuery::<ServicePing>::instance(name("calc"), first.id().clone());
    let ping = operator.request(&query, &bytes::Bytes::new(), SOON).await;
    assert_eq!(ping.unwrap().id, *first.id());
    first.reset();
    assert_eq!(first.stats().endpoints[0].num_requests, 0);
}

#[tokio::test]
async fn a_service_ends_in_order_and_the_next_takes_over() {
    let Some(rig) = Rig::start_with("service::stop", &USERS, &policy()) else {
        return;
    };
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let config = ServiceConfig::new(name("calc"), "1.0.0".parse().unwrap());
    let service = edge.service(config.clone()).await.unwrap();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        move |message: Message<Halve>| {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                halve(message).await
            }
        }
    };
    let endpoint = EndpointConfig::new(name("halve"));
    service
        .endpoint(endpoint.clone(), &Halve, handler)
        .await
        .unwrap();
    let asked = tokio::spawn({
        let operator = operator.clone();
        async move { operator.request(&Halve, &10, SOON).await }
    });
    soon(begun.notified()).await;
    let id = service.id().clone();
    let stopping = tokio::spawn(service.stop(SOON));
    // It takes no more, says that it is there, and finishes what it has.
    let refused = async {
        loop {
            let short = Duration::from_millis(100);
            match operator.request(&Halve, &12, short).await {
                Err(RequestError::NoResponders { .. }) => break,
                Err(RequestError::TimedOut { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    soon(refused).await;
    assert_eq!(found(&operator).await[0].id, id);
    assert!(!stopping.is_finished());
    // Those that came before the end are worked on as well; each waits for its own word.
    let words = tokio::spawn(async move {
        loop {
            go_on.notify_waiters();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(soon(asked).await.unwrap().unwrap(), 5);
    soon(stopping).await.unwrap().unwrap();
    assert!(found(&operator).await.is_empty());
    words.abort();

    // Restarted it is another instance, by the same client.
    let service = edge.service(config).await.unwrap();
    assert_ne!(*service.id(), id);
    let begun = Arc::new(Notify::new());
    let noted = Arc::clone(&begun);
    let never = move |_: Message<Halve>| {
        noted.notify_one();
        std::future::pending()
    };
    service.endpoint(endpoint, &Halve, never).await.unwrap();
    let asked = tokio::spawn({
        let operator = operator.clone();
        async move { operator.request(&Halve, &10, Duration::from_secs(3)).await }
    });
    soon(begun.notified()).await;
    let given_up = service.stop(Duration::from_millis(300)).await;
    assert!(matches!(given_up, Err(StopError::Unfinished)));
    let lost = soon(asked).await.unwrap();
    assert!(
        matches!(lost, Err(RequestError::TimedOut { .. })),
        "{lost:?}"
    );
    let gone = async {
        while !found(&operator).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn who_asks_while_a_service_stops_or_moves_is_answered_or_told() {
    let Some(rig) = Rig::start_with("service::flood", &USERS, &policy()) else {
        return;
    };
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let flood = || {
        let asked = (0..200).map(|number| {
            let operator = operator.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(number * 50)).await;
                operator.request(&Halve, &8, SOON).await
            })
        });
        asked.collect::<Vec<_>>()
    };
    let mut answered = 0;
    for round in 0..10 {
        let service = calc(&edge).await;
        let asked = flood();
        match round % 2 {
            0 => edge.reload().await.unwrap(),
            _ => tokio::time::sleep(Duration::from_millis(3)).await,
        }
        service.stop(SOON).await.unwrap();
        for result in asked {
            match soon(result).await.unwrap() {
                Ok(half) => {
                    assert_eq!(half, 4);
                    answered += 1;
                }
                Err(RequestError::NoResponders { .. }) => {}
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
    }
    assert!(answered > 100, "{answered}");
    assert_eq!(edge.statistics().subscriptions, 0);
}

#[tokio::test]
async fn a_provider_cut_off_in_the_middle_is_replaced_and_a_server_back_finds_its_services() {
    let Some(mut rig) = Rig::start_with("service::cut", &USERS, &policy()) else {
        return;
    };
    let operator = rig.client("op").await;
    let (n1, n2) = (rig.client("n1").await, rig.client("n2").await);
    let config = ServiceConfig::new(name("calc"), "1.0.0".parse().unwrap());
    let stuck = n1.service(config).await.unwrap();
    let begun = Arc::new(Notify::new());
    let noted = Arc::clone(&begun);
    let never = move |_: Message<Halve>| {
        noted.notify_one();
        std::future::pending()
    };
    stuck
        .endpoint(EndpointConfig::new(name("halve")), &Halve, never)
        .await
        .unwrap();
    let asked = tokio::spawn({
        let operator = operator.clone();
        async move { operator.request(&Halve, &10, Duration::from_secs(2)).await }
    });
    soon(begun.notified()).await;
    rig.revoke("n1");
    let lost = soon(asked).await.unwrap();
    assert!(matches!(lost, Err(RequestError::TimedOut { .. })));
    let nobody = operator.request(&Halve, &10, SOON).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })));
    let other = calc(&n2).await;
    assert_eq!(operator.request(&Halve, &10, SOON).await.unwrap(), 5);
    assert_eq!(found(&operator).await, [other.info()]);

    rig.kill();
    rig.run();
    for client in [&operator, &n2] {
        let mut states = client.states();
        soon(states.until(State::is_connected)).await.unwrap();
    }
    let back = async {
        loop {
            let asked = operator.request(&Halve, &10, SOON).await;
            match asked {
                Ok(half) => break assert_eq!(half, 5),
                Err(RequestError::Fault(fault)) => panic!("{fault}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    soon(back).await;
    assert_eq!(found(&operator).await, [other.info()]);
    assert_eq!(other.stats().endpoints[0].num_requests, 2);
}

#[tokio::test]
async fn a_provider_may_what_its_service_needs_and_no_more() {
    let Some(rig) = Rig::start_with("service::rights", &USERS, &policy()) else {
        return;
    };
    let permissions = policy().permissions(&token("n1"), &[Role::Edge]);
    assert_eq!(permissions.publish_deny, [">"]);
    assert_eq!(
        permissions.subscribe_allow,
        [
            "$SRV.INFO",
            "$SRV.INFO.calc",
            "$SRV.INFO.calc.*",
            "$SRV.PING",
            "$SRV.PING.calc",
            "$SRV.PING.calc.*",
            "$SRV.STATS",
            "$SRV.STATS.calc",
            "$SRV.STATS.calc.*",
            "_INBOX_n1.>",
            "calc.halve",
        ]
    );
    let (edge, hub) = (rig.client("n1").await, rig.client("hub").await);
    let service = calc(&edge).await;
    let denied = |result: Result<(), ServiceError>| {
        matches!(
            result,
            Err(ServiceError::Subscribe(SubscribeError::Denied { .. }))
        )
    };
    // Not under another's name, not on another's subject; and who has no such right, nowhere.
    let other = ServiceConfig::new(name("bank"), "1.0.0".parse().unwrap());
    assert!(denied(edge.service(other).await.map(drop)));
    let endpoint = EndpointConfig::new(name("halve"));
    let foreign = service.endpoint(endpoint, &PyHalve, async |_| Ok(1)).await;
    assert!(denied(foreign));
    let calc = ServiceConfig::new(name("calc"), "1.0.0".parse().unwrap());
    assert!(denied(hub.service(calc).await.map(drop)));
    // To provide is not to find, nor to ask.
    for client in [&edge, &hub] {
        let refused = client.services(briefly()).await;
        assert!(matches!(
            refused,
            Err(RequestError::Publish(PublishError::Denied { .. }))
        ));
        let refused = client.request(&Halve, &2, SOON).await;
        assert!(matches!(
            refused,
            Err(RequestError::Publish(PublishError::Denied { .. }))
        ));
    }
    // The failed attempts left nothing that answers.
    let operator = rig.client("op").await;
    assert_eq!(found(&operator).await, [service.info()]);
}

#[tokio::test]
async fn another_library_finds_our_services_and_is_found() {
    let test = "service::nats_py";
    let Some(python) = python().or_else(|| skip(test, "no Python with nats-py")) else {
        return;
    };
    let policy = policy()
        .with(Rule::new::<PyHalve>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with(Rule::new::<PyHalve>(
            Role::Hub,
            Right::Provide(name("pycalc")),
            Scope::All,
        ))
        .with(Rule::new::<Halve>(Role::Hub, Right::Publish, Scope::All))
        .with_service_discovery(Role::Hub);
    let users = [
        ("op", Role::Operator),
        ("n1", Role::Edge),
        ("peer", Role::Hub),
    ];
    let Some(rig) = Rig::start_with(test, &users, &policy) else {
        return;
    };
    let own = rig.authority.client("peer");
    rig.write("peer.pem", &own.chain);
    rig.write("peer.key", &own.key);
    let (operator, edge) = (rig.client("op").await, rig.client("n1").await);
    let service = calc(&edge).await;

    let mut peer = rig.script(&python, "micro.py");
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let mut line = async || soon(lines.next_line()).await.unwrap().unwrap_or_default();
    let id = line().await;

    // Theirs, by us.
    let services = found(&operator).await;
    let names: Vec<_> = services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["calc", "pycalc"]);
    let theirs = &services[1];
    assert_eq!(
        (theirs.id.as_str(), theirs.description.as_str()),
        (&*id, "halves")
    );
    assert_eq!(theirs.endpoints[0].subject, "pycalc.halve");
    assert_eq!(operator.request(&PyHalve, &8, SOON).await.unwrap(), 4);
    let odd = operator.request(&PyHalve, &7, SOON).await;
    assert!(matches!(odd, Err(RequestError::Fault(f)) if f == Fault::new(422, "odd")));
    let query = ServiceQuery::<ServiceStats>::named(name("pycalc"));
    let stats = operator.request(&query, &bytes::Bytes::new(), SOON).await;
    let counted = stats.unwrap().endpoints.remove(0);
    assert_eq!((counted.num_requests, counted.num_errors), (2, 1));

    // Ours, by them.
    let mut stdin = peer.stdin.take().unwrap();
    stdin.write_all(b"\n").await.unwrap();
    let read = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap();
    assert_eq!(
        read(line().await),
        json!([["calc", "1.2.0"], ["pycalc", "0.9.1"]])
    );
    let info = json!(["io.nats.micro.v1.info_response", "halves numbers", {"room": "attic"}]);
    assert_eq!(read(line().await), info);
    let endpoints = json!([{
        "name": "halve", "subject": "calc.halve", "queue_group": "q", "metadata": {"unit": "1"},
    }]);
    assert_eq!(read(line().await), endpoints);
    let answers = line().await;
    let (good, bad) = answers.split_once(' ').unwrap();
    assert_eq!(good, "4");
    let headers = json!({"Nats-Service-Error": "odd", "Nats-Service-Error-Code": "422"});
    assert_eq!(read(bad.into()), headers);
    assert_eq!(read(line().await), json!([[2, 1, "422:odd"]]));
    assert_eq!(line().await, "io.nats.micro.v1.stats_response True");
    stdin.write_all(b"\n").await.unwrap();
    drop(stdin);
    assert!(soon(peer.wait()).await.unwrap().success());
    assert_eq!(found(&operator).await, [service.info()]);
}
