//! Nodes that were away for long, and what members tell the authority.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use swarm_pki::{
    Certificate, CertificateRequest, NodeId, RevocationReason, Timestamp, Trust,
    enroll::{Client, JoinError, PATH, Reason, Reenrolled, Server, TRUST_PATH},
    store::{Grant, RolloverSpec, RootAccess, RootKey, Store, Target},
    tls::{Expected, MeshTls},
};

use crate::{
    enroll::{Authority, Machine, ask, join, reason, run},
    fixture::{program, soon},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A node that was certified long ago and has been away since, with what it believed then.
struct Away {
    machine: Machine,
    trust: Trust,
    tls: MeshTls,
}

fn hub() -> Expected {
    Expected::Node("hub".parse().unwrap())
}

/// An authority of 45 days, whose node has a certificate of 30 days from the first of them.
async fn authority_and_node_away() -> (Authority, Away) {
    Authority::of_age(45 * DAY, |store| {
        let then = Timestamp::now() - 45 * DAY;
        let machine = Machine::new(1);
        let mut grant = Grant::new("edge1".parse().unwrap());
        grant.roles.insert("edge".parse().unwrap());
        let issued = store.issue(&machine.request("edge1"), &grant, "test", then);
        let issued = issued.unwrap();
        let chain = [issued.certificate.certificate().clone(), issued.issuer];
        let trust = store.trust(then).unwrap();
        let tls = MeshTls::new(&chain, Arc::clone(&machine.key), trust.clone()).unwrap();
        Away {
            machine,
            trust,
            tls,
        }
    })
    .await
}

impl Away {
    fn request(&self) -> CertificateRequest {
        self.machine.request("edge1")
    }

    async fn ask(&self, authority: &Authority) -> Result<Reenrolled, JoinError> {
        let addresses = [authority.address];
        let (client, request, hub) = (Client::default(), self.request(), hub());
        let asked = client.reenroll(&self.trust, &hub, &addresses, &request);
        soon("answer", Box::pin(asked)).await
    }
}

#[track_caller]
fn is_pending(answer: Result<Reenrolled, JoinError>) {
    match answer {
        Ok(Reenrolled::Pending { retry_after }) => {
            assert_eq!(retry_after, Duration::from_secs(300));
        }
        other => panic!("{other:?}"),
    }
}

fn approve(store: &Store) {
    let node: NodeId = "edge1".parse().unwrap();
    store
        .approve_reenrolment(&node, "operator", Timestamp::now())
        .unwrap();
}

#[tokio::test]
async fn a_node_that_expired_while_away_comes_back_when_an_operator_approves() {
    let (authority, away) = authority_and_node_away().await;
    // Its certificate opens nothing any more.
    let (client, addresses, hub) = (Client::default(), [authority.address], hub());
    let request = away.request();
    let renewed = client.renew(&away.tls, &hub, &addresses, &request);
    assert!(soon("answer", renewed).await.is_err());

    is_pending(away.ask(&authority).await);
    is_pending(away.ask(&authority).await);
    let pending = authority.store.pending_reenrolments(Timestamp::now());
    assert_eq!(pending.unwrap().len(), 1);

    approve(&authority.store);
    let Reenrolled::Enrolled(enrolled) = away.ask(&authority).await.unwrap() else {
        panic!("still pending")
    };
    assert_eq!(
        enrolled.certificate.spki_der(),
        away.tls.certificate().spki_der()
    );
    assert!(enrolled.certificate.identity().has_role("edge"));
    assert!(enrolled.certificate.is_current(Timestamp::now()));
    // It is a member again: it renews as others do, with a new key.
    let tls = away.machine.tls(&enrolled);
    let next = Machine::new(2);
    let request = next.request("edge1");
    let renewed = client.renew(&tls, &hub, &addresses, &request);
    assert!(soon("answer", renewed).await.is_ok());
    // Its old key opens nothing more.
    let refused = away.ask(&authority).await;
    assert!(matches!(
        refused,
        Err(JoinError::Unreachable { .. } | JoinError::Refused { .. })
    ));
}

#[tokio::test]
async fn refusals_tell_a_node_that_was_away_what_to_do() {
    let (authority, away) = authority_and_node_away().await;
    let node: NodeId = "edge1".parse().unwrap();
    is_pending(away.ask(&authority).await);
    let now = Timestamp::now();
    authority
        .store
        .deny_reenrolment(&node, "operator", now)
        .unwrap();
    assert_eq!(reason(away.ask(&authority).await), Reason::Denied);

    // After all.
    approve(&authority.store);
    assert!(matches!(
        away.ask(&authority).await,
        Ok(Reenrolled::Enrolled(_))
    ));
    assert_eq!(reason(away.ask(&authority).await), Reason::StillValid);

    let cause = RevocationReason::KeyCompromise;
    authority
        .store
        .revoke(&Target::Node(node), cause, "operator", now)
        .unwrap();
    assert_eq!(reason(away.ask(&authority).await), Reason::Revoked);
    assert!(
        authority
            .last_refusal()
            .starts_with("enrolment 127.0.0.1: ")
    );

    // A key that nobody knows is asked for a secret, as any client that comes without one.
    let stranger = Machine::new(9);
    let client = Client::default();
    let request = stranger.request("edge1");
    let addresses = [authority.address];
    let hub = hub();
    let asked = client.reenroll(&away.trust, &hub, &addresses, &request);
    assert_eq!(
        reason(soon("answer", Box::pin(asked)).await),
        Reason::WrongSecret
    );
}

#[tokio::test]
async fn a_flood_of_strange_keys_does_not_keep_the_store_busy() {
    let authority = Authority::new().await;
    let server = Server::new(authority.store.clone());
    let csr = Machine::new(1).request("edge1").to_pem();
    let post = || {
        Request::post(format!("{PATH}/simpleenroll"))
            .header("content-type", "application/pkcs10")
            .body(Full::new(Bytes::from(csr.clone())))
            .unwrap()
    };
    for _ in 0..10 {
        let (status, response) = ask(&server, None, post()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key("www-authenticate"));
    }
    let generation = authority.store.generation().unwrap();
    for _ in 0..20 {
        let (status, _) = ask(&server, None, post()).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(authority.store.generation().unwrap(), generation);
}

/// Replaces the root while `away` is away, and nobody waits for it.
fn roll_over(store: &Store, then: Timestamp) {
    let spec = RolloverSpec::root(RootKey::default());
    let stored = RootAccess::Stored;
    store
        .begin_rollover(&spec, &stored, "operator", then)
        .unwrap();
    let nobody = BTreeSet::new();
    let mut steps = 0;
    while store
        .advance_rollover(&[], &nobody, &stored, "operator", then)
        .unwrap()
        .is_some()
    {
        steps += 1;
        assert!(steps < 10);
    }
}

#[tokio::test]
async fn a_node_that_missed_a_change_of_roots_finds_the_new_one_by_its_link() {
    let (authority, away) = Authority::of_age(45 * DAY, |store| {
        let then = Timestamp::now() - 45 * DAY;
        let machine = Machine::new(1);
        let grant = Grant::new("edge1".parse().unwrap());
        let issued = store.issue(&machine.request("edge1"), &grant, "test", then);
        let issued = issued.unwrap();
        let chain = [issued.certificate.certificate().clone(), issued.issuer];
        let trust = store.trust(then).unwrap();
        let tls = MeshTls::new(&chain, Arc::clone(&machine.key), trust.clone()).unwrap();
        roll_over(store, then + 20 * DAY);
        Away {
            machine,
            trust,
            tls,
        }
    })
    .await;
    let old: Vec<_> = away.trust.roots().map(Certificate::fingerprint).collect();
    is_pending(away.ask(&authority).await);
    approve(&authority.store);
    let Reenrolled::Enrolled(enrolled) = away.ask(&authority).await.unwrap() else {
        panic!("still pending")
    };
    let new: Vec<_> = enrolled
        .trust
        .roots()
        .map(Certificate::fingerprint)
        .collect();
    assert_eq!(new.len(), 1);
    assert_ne!(new, old);

    // Another authority has no link from what the node knows.
    let other = Authority::new().await;
    let addresses = [other.address];
    let (client, request, hub) = (Client::default(), away.request(), hub());
    let asked = client.reenroll(&away.trust, &hub, &addresses, &request);
    let refused = soon("answer", Box::pin(asked)).await;
    let Err(JoinError::WrongRoot { expected, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!([expected], old[..]);
    let log = other.store.audit().unwrap();
    assert!(log.iter().all(|entry| entry.kind != "refused"));
}

#[tokio::test]
async fn members_tell_the_authority_which_roots_and_authorities_they_know() {
    let authority = Authority::new().await;
    let machine = Machine::new(1);
    let enrolled = join(&authority.invite("edge1"), &machine).await.unwrap();
    let tls = machine.tls(&enrolled);
    let (client, addresses) = (Client::default(), [authority.address]);

    // A new issuing authority is waited for until everybody knows it.
    let (now, stored, nobody) = (Timestamp::now(), RootAccess::Stored, BTreeSet::new());
    let store = &authority.store;
    let spec = RolloverSpec::issuing();
    store
        .begin_rollover(&spec, &stored, "operator", now)
        .unwrap();
    let live = [tls.certificate()];
    let waits = || store.rollover(&live, now).unwrap().unwrap().waiting;
    let hub = hub();
    soon("answer", client.report_trust(&tls, &hub, &addresses))
        .await
        .unwrap();
    assert_eq!(waits(), ["edge1".parse().unwrap()]);
    let news = store.bundle(now).unwrap();
    tls.update_trust(|trust| {
        trust.merge(&news, now);
        Ok::<_, std::convert::Infallible>(())
    })
    .unwrap();
    soon("answer", client.report_trust(&tls, &hub, &addresses))
        .await
        .unwrap();
    assert!(waits().is_empty());
    store
        .advance_rollover(&live, &nobody, &stored, "operator", now)
        .unwrap();

    // Without a certificate, after a revocation, and with something else than a list.
    let server = Server::new(store.clone());
    let post = |body: &str| {
        Request::post(TRUST_PATH)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap()
    };
    assert_eq!(
        ask(&server, None, post("[]")).await.0,
        StatusCode::FORBIDDEN
    );
    let edge = tls.certificate();
    let (status, _) = ask(&server, Some(&edge), post("{}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let refusal = authority.last_refusal();
    assert!(refusal.starts_with("node edge1: report: "), "{refusal}");
    let (status, _) = ask(&server, Some(&edge), post(&"[".repeat(100_000))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let target = Target::Node("edge1".parse().unwrap());
    store
        .revoke(&target, RevocationReason::KeyCompromise, "operator", now)
        .unwrap();
    assert_eq!(
        ask(&server, Some(&edge), post("[]")).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn curl_and_openssl_alone_can_come_back() {
    let test = "re-enrolment by curl and openssl";
    let (Some(curl), Some(openssl)) = (program(test, "curl"), program(test, "openssl")) else {
        return;
    };
    let (authority, away) = authority_and_node_away().await;
    let path = |name: &str| {
        authority
            .directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    std::fs::write(path("root.pem"), authority.store.root().unwrap().to_pem()).unwrap();
    std::fs::write(path("edge1.key"), away.machine.key.to_pem().as_bytes()).unwrap();
    let extension = format!(
        "2.25.1398231629=DER:3027020101{}{}3000",
        "0420",
        "01".repeat(32)
    );
    let arguments = [
        "req",
        "-new",
        "-key",
        &path("edge1.key"),
        "-subj",
        "/CN=edge1",
        "-addext",
        &extension,
        "-outform",
        "PEM",
    ];
    let request = run(&openssl, &arguments, b"").await;
    let url = format!("https://{}{PATH}/simpleenroll", authority.address);
    let post = [
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--cacert",
        &path("root.pem"),
        "--header",
        "Content-Type: application/pkcs10",
        "--data-binary",
        "@-",
        "--write-out",
        "%{http_code} %header{retry-after}",
        &url,
    ];
    let answer = String::from_utf8(run(&curl, &post, &request).await).unwrap();
    assert!(answer.ends_with("202 300"), "{answer}");
    approve(&authority.store);
    let answer = String::from_utf8(run(&curl, &post, &request).await).unwrap();
    let body = answer.strip_suffix("200 ").unwrap();
    let message = run(&openssl, &["base64", "-d"], body.as_bytes()).await;
    let print = ["pkcs7", "-inform", "DER", "-print_certs"];
    let certificate = run(&openssl, &print, &message).await;
    let certificate = String::from_utf8(certificate).unwrap();
    let record = authority
        .store
        .node(&"edge1".parse().unwrap(), Timestamp::now());
    let record = record.unwrap().unwrap();
    assert!(certificate.contains(&record.certificate.to_pem()[30..100]));
}
