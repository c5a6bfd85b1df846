//! Certificates of services, and what they share with nodes: nothing that is somebody else's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use swarm_pki::store::{
    AddressPrefix, Error, Holder, NodeStatus, RolloverSpec, RootAccess, ServiceGrant, Store, Target,
};
use swarm_pki::{KeyAlgorithm, PrivateKey, RevocationReason, ServiceName, ServiceRequest, Usage};

use crate::store_fixture::{DAY, grant, id, knows, live, make, now, request, request_with};

const STORED: RootAccess<'static> = RootAccess::Stored;

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

fn asks(key: &PrivateKey) -> ServiceRequest {
    ServiceRequest::build(key, &"testers".parse().unwrap(), &name("whatever")).unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::P256).unwrap()
}

fn matrix() -> ServiceGrant {
    let mut grant = ServiceGrant::new(name("matrix"));
    grant.dns = vec!["matrix.test.internal".parse().unwrap()];
    grant
}

#[test]
fn a_service_is_issued_for_renewed_and_revoked() {
    let (_dir, store) = make();
    let first = store
        .issue_service(&asks(&key()), &matrix(), "tester", now())
        .unwrap();
    let identity = first.certificate.identity();
    assert_eq!(
        identity.name,
        name("matrix"),
        "not what the request hopes for"
    );
    assert_eq!(identity.usages, [Usage::Server].into());
    assert_eq!(first.certificate.not_after(), now() + 90 * DAY);
    let trust = store.trust(now()).unwrap();
    let chain = [first.certificate.der().clone(), first.issuer.der().clone()];
    assert_eq!(
        trust.verify_service(&chain, now()).unwrap(),
        first.certificate
    );
    let second = store
        .renew_service(&first.certificate, &asks(&key()), "matrix", now() + DAY)
        .unwrap();
    assert_eq!(second.certificate.identity(), identity);
    let listed = store.services(now() + DAY).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].certificate, second.certificate);
    let target = Target::Service(name("matrix"));
    let reason = RevocationReason::Superseded;
    let list = store
        .revoke(&target, reason, "tester", now() + DAY)
        .unwrap();
    assert_eq!(list.len(), 2);
    let listed = store.services(now() + DAY).unwrap();
    assert!(matches!(listed[0].status, NodeStatus::Revoked(_)));
    let mut trust = store.trust(now()).unwrap();
    trust.merge(&store.bundle(now() + DAY).unwrap(), now() + DAY);
    assert!(trust.verify_service(&chain, now() + DAY).is_err());
    let again = store.renew_service(&second.certificate, &asks(&key()), "m", now() + DAY);
    assert!(matches!(again, Err(Error::Revoked(_))));
    let unknown = Target::Service(name("nobody"));
    let unknown = store.revoke(&unknown, reason, "tester", now());
    assert!(matches!(unknown, Err(Error::UnknownService(_))));
    let reopened = Store::open(store.directory()).unwrap();
    reopened.verify().unwrap();
    assert_eq!(reopened.services(now()).unwrap().len(), 1);
}

#[test]
fn services_and_nodes_take_nothing_from_each_other() {
    let (_dir, store) = make();
    let node_key = key();
    store
        .issue(
            &request_with(&node_key, 1),
            &grant("hub1", 1),
            "tester",
            now(),
        )
        .unwrap();
    let service_key = key();
    let mut on_hub = matrix();
    on_hub.addresses = vec!["10.44.0.1".parse().unwrap()];
    let refused = |key: &PrivateKey, grant: &ServiceGrant| {
        store
            .issue_service(&asks(key), grant, "tester", now())
            .unwrap_err()
    };
    let hub = Holder::Node(id("hub1"));
    assert!(matches!(
        refused(&service_key, &on_hub),
        Error::AddressInUse { holder, .. } if holder == hub
    ));
    assert!(matches!(
        refused(&node_key, &matrix()),
        Error::KeyInUse { holder, .. } if holder == hub
    ));
    let mut named = matrix();
    named.dns.push("hub1.test.internal".parse().unwrap());
    assert!(matches!(
        refused(&service_key, &named),
        Error::DnsNameInUse { holder, .. } if holder == hub
    ));
    // A service on the node shares the node's addresses, and so do two of them.
    on_hub.host = Some(id("hub1"));
    store
        .issue_service(&asks(&service_key), &on_hub, "tester", now())
        .unwrap();
    let mut second = ServiceGrant::new(name("metrics"));
    second.addresses = on_hub.addresses.clone();
    second.host = on_hub.host.clone();
    store
        .issue_service(&asks(&key()), &second, "tester", now())
        .unwrap();
    second.name = name("other");
    second.dns = matrix().dns;
    let matrix_holds = Holder::Service(name("matrix"));
    assert!(matches!(
        refused(&key(), &second),
        Error::DnsNameInUse { holder, .. } if holder == matrix_holds
    ));
    assert!(matches!(
        refused(&service_key, &ServiceGrant::new(name("other"))),
        Error::KeyInUse { .. }
    ));
    // Nor does a node get what a service has.
    let mut squatter = grant("edge1", 2);
    squatter.dns = matrix().dns;
    let refused = store.issue(&request(2), &squatter, "tester", now());
    assert!(matches!(
        refused,
        Err(Error::DnsNameInUse { holder, .. }) if holder == matrix_holds
    ));
    let refused = store.issue(
        &request_with(&service_key, 2),
        &grant("edge1", 2),
        "t",
        now(),
    );
    assert!(matches!(refused, Err(Error::KeyInUse { key: "TLS", .. })));
    // The hub itself goes on with its own address.
    store
        .issue(
            &request_with(&node_key, 1),
            &grant("hub1", 1),
            "tester",
            now(),
        )
        .unwrap();
    assert!("10.44.0.1/24".parse::<AddressPrefix>().is_err());
}

#[test]
fn a_rollover_waits_for_services_too() {
    let (_dir, store) = make();
    let node = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let service = store
        .issue_service(&asks(&key()), &matrix(), "tester", now())
        .unwrap();
    store
        .begin_rollover(&RolloverSpec::issuing(), &STORED, "tester", now())
        .unwrap();
    let known = knows(&store.trust(now()).unwrap());
    store
        .report_trust(&node.certificate, &known, now())
        .unwrap();
    let go = || {
        let trust = store.trust(now()).unwrap();
        store.advance_rollover(&live(&trust), &BTreeSet::new(), &STORED, "tester", now())
    };
    go().unwrap();
    go().unwrap();
    let later = now() + DAY;
    store
        .renew(&node.certificate, &request(2), "edge1", later)
        .unwrap();
    let go = || {
        let trust = store.trust(later).unwrap();
        store.advance_rollover(&live(&trust), &BTreeSet::new(), &STORED, "tester", later)
    };
    assert!(matches!(
        go(),
        Err(Error::RolloverWaitsForServices(names)) if names == [name("matrix")]
    ));
    let status = store.rollover(&[], later).unwrap().unwrap();
    assert_eq!(status.services, [name("matrix")]);
    store
        .renew_service(&service.certificate, &asks(&key()), "matrix", later)
        .unwrap();
    go().unwrap();
    assert_eq!(go().unwrap(), None);
}
