//! Machines that join and renew at a real authority, over loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use swarm_pki::{
    CertificateRequest, KeyAlgorithm, NodeCertificate, PrivateKey, RevocationReason, Timestamp,
    enroll::{
        Address, AttemptError, Client, CreateInviteError, Enrolled, Invite, InviteError, JoinError,
        PATH, Reason, RenewalSchedule, Server,
    },
    store::{Grant, InviteSpec, Store, StoreSpec, Target},
    tls::{Expected, MeshTls},
};
use test_port::Port;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
    task::JoinHandle,
};

use crate::fixture::{Swarm, TestClock, program, soon};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority on disk whose hub serves enrolment.
pub(crate) struct Authority {
    pub(crate) store: Store,
    pub(crate) hub: MeshTls,
    pub(crate) address: SocketAddr,
    _served: Served,
    pub(crate) directory: tempfile::TempDir,
}

struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The keys of a new machine.
pub(crate) struct Machine {
    pub(crate) key: Arc<PrivateKey>,
    wireguard: [u8; 32],
}

impl Machine {
    pub(crate) fn new(seed: u8) -> Self {
        let key = Arc::new(PrivateKey::generate(KeyAlgorithm::P256).unwrap());
        Self {
            key,
            wireguard: [seed; 32],
        }
    }

    pub(crate) fn request(&self, id: &str) -> CertificateRequest {
        let (swarm, id) = ("fleet".parse().unwrap(), id.parse().unwrap());
        CertificateRequest::build(&self.key, &swarm, &id, self.wireguard).unwrap()
    }

    pub(crate) fn tls(&self, enrolled: &Enrolled) -> MeshTls {
        MeshTls::new(
            &enrolled.chain(),
            Arc::clone(&self.key),
            enrolled.trust.clone(),
        )
        .unwrap()
    }
}

async fn serve(server: Server, hub: &MeshTls) -> (SocketAddr, Served) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hub = hub.clone();
    let served = tokio::spawn(async move {
        server.serve(&hub, listener, std::future::pending()).await;
    });
    (address, Served(served))
}

impl Authority {
    pub(crate) async fn new() -> Self {
        Self::of_age(Duration::ZERO, |_| ()).await.0
    }

    /// An authority that was made this long ago, and what happened in its youth.
    pub(crate) async fn of_age<T>(age: Duration, youth: impl FnOnce(&Store) -> T) -> (Self, T) {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now() - age;
        let spec = StoreSpec::new("fleet".parse().unwrap(), "fleet.internal".parse().unwrap());
        let store = Store::init(directory.path().join("ca"), spec, "test", now).unwrap();
        let happened = youth(&store);
        store.refresh_crls(Timestamp::now()).unwrap();
        let hub = Self::member(&store, "hub", "127.0.0.1", 200);
        let (address, served) = serve(Server::new(store.clone()), &hub).await;
        let authority = Self {
            store,
            hub,
            address,
            _served: served,
            directory,
        };
        (authority, happened)
    }

    pub(crate) fn member(store: &Store, id: &str, address: &str, seed: u8) -> MeshTls {
        let machine = Machine::new(seed);
        let mut grant = Grant::new(id.parse().unwrap());
        grant.addresses = vec![address.parse().unwrap()];
        let now = Timestamp::now();
        let issued = store
            .issue(&machine.request(id), &grant, "test", now)
            .unwrap();
        let chain = [issued.certificate.certificate().clone(), issued.issuer];
        MeshTls::new(&chain, machine.key, store.trust(now).unwrap()).unwrap()
    }

    pub(crate) fn invite(&self, id: &str) -> Invite {
        self.invite_at(id, vec![self.address.into()], Timestamp::now() + HOUR)
    }

    fn invite_at(&self, id: &str, addresses: Vec<Address>, expires: Timestamp) -> Invite {
        let mut grant = Grant::new(id.parse().unwrap());
        grant.roles.insert("edge".parse().unwrap());
        let spec = InviteSpec { grant, expires };
        let (hub, now) = ("hub".parse().unwrap(), Timestamp::now());
        let invite = Invite::create(&self.store, &spec, hub, addresses, "operator", now).unwrap();
        // As a person carries it.
        invite.to_string().parse().unwrap()
    }

    pub(crate) fn last_refusal(&self) -> String {
        let log = self.store.audit().unwrap();
        let entry = log.last().unwrap();
        assert_eq!(entry.kind, "refused", "{entry:?}");
        format!("{}: {}", entry.requester, entry.detail)
    }
}

pub(crate) async fn join(invite: &Invite, machine: &Machine) -> Result<Enrolled, JoinError> {
    let request = machine.request(invite.node().as_str());
    soon("answer", Client::default().join(invite, &request)).await
}

#[track_caller]
pub(crate) fn reason<T>(result: Result<T, JoinError>) -> Reason {
    match result {
        Err(JoinError::Refused { reason, line }) => {
            assert!(!line.is_empty());
            reason
        }
        Err(other) => panic!("not refused by the authority: {other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn an_invite_turns_a_machine_into_a_member() {
    let authority = Authority::new().await;
    let machine = Machine::new(1);
    let invite = authority.invite("edge1");
    let enrolled = join(&invite, &machine).await.unwrap();
    let identity = enrolled.certificate.identity();
    assert_eq!(
        identity.spiffe_id().to_string(),
        "spiffe://fleet/node/edge1"
    );
    assert_eq!(identity.wireguard_public_key, [1; 32]);
    assert!(identity.has_role("edge"));
    assert_eq!(enrolled.address, authority.address);
    assert_eq!(enrolled.trust.crls().count(), 2);

    // The hub and the new member know each other.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let edge = machine.tls(&enrolled);
    let config = authority
        .hub
        .server_config(swarm_pki::tls::ClientAuth::Required, &[]);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        authority
            .hub
            .accept(&config, stream)
            .await
            .unwrap()
            .1
            .unwrap()
    };
    let dial = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        edge.connect(Expected::Node("hub".parse().unwrap()), &[], stream)
            .await
            .unwrap()
    };
    let (peer, _) = soon("handshake", async { tokio::join!(serve, dial) }).await;
    assert_eq!(peer.certificate(), &enrolled.certificate);

    // The answer was lost, so the machine asks again.
    let again = join(&invite, &machine).await.unwrap();
    assert_eq!(again.certificate, enrolled.certificate);
    let log = authority.store.audit().unwrap();
    let redeemed = log.iter().filter(|entry| entry.kind == "redeemed").count();
    assert_eq!(redeemed, 1);
    assert!(
        log.iter()
            .any(|entry| entry.requester == "enrolment 127.0.0.1")
    );
}

#[tokio::test]
async fn refusals_say_what_is_wrong_with_an_invite() {
    let authority = Authority::new().await;
    let now = Timestamp::now();
    let invite = authority.invite("edge1");
    join(&invite, &Machine::new(1)).await.unwrap();
    assert_eq!(reason(join(&invite, &Machine::new(2)).await), Reason::Used);

    let address = || vec![authority.address.into()];
    let expired = authority.invite_at("edge2", address(), now - HOUR);
    assert_eq!(
        reason(join(&expired, &Machine::new(3)).await),
        Reason::Expired
    );

    // A second invite for a name that is taken meanwhile.
    let (one, two) = (authority.invite("edge3"), authority.invite("edge3"));
    join(&one, &Machine::new(4)).await.unwrap();
    assert_eq!(reason(join(&two, &Machine::new(5)).await), Reason::Taken);

    // The node is revoked, and with it its open invites.
    let target = Target::Node("edge3".parse().unwrap());
    authority
        .store
        .revoke(&target, RevocationReason::KeyCompromise, "operator", now)
        .unwrap();
    assert_eq!(
        reason(join(&two, &Machine::new(6)).await),
        Reason::Cancelled
    );

    // The right name with the secret of another invite, and a secret that was never made.
    let other = authority.invite("edge4");
    let genuine = authority.invite("edge5");
    for secret in [
        other.secret().clone(),
        swarm_pki::store::InviteSecret::from_bytes([9; 24]),
    ] {
        let forged = Invite::new(
            genuine.swarm().clone(),
            genuine.node().clone(),
            genuine.authority().clone(),
            genuine.root(),
            secret,
            genuine.addresses().to_vec(),
            genuine.expires(),
        );
        let refused = join(&forged.unwrap(), &Machine::new(7)).await;
        assert_eq!(reason(refused), Reason::WrongSecret);
        assert!(
            authority
                .last_refusal()
                .starts_with("enrolment 127.0.0.1: ")
        );
    }
    join(&genuine, &Machine::new(8)).await.unwrap();
}

#[tokio::test]
async fn every_address_is_tried_and_named_when_all_are_dead() {
    let authority = Authority::new().await;
    let port = Port::free();
    let dead = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let addresses = vec![dead.into(), authority.address.into()];
    let expires = Timestamp::now() + HOUR;
    let invite = authority.invite_at("edge1", addresses, expires);
    let enrolled = join(&invite, &Machine::new(1)).await.unwrap();
    assert_eq!(enrolled.address, authority.address);

    let nowhere = "no-such-host.invalid:1".parse().unwrap();
    let invite = authority.invite_at("edge2", vec![dead.into(), nowhere], expires);
    let error = join(&invite, &Machine::new(2)).await.unwrap_err();
    let JoinError::Unreachable { tried } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(tried.len(), 2);
    let text = error.to_string();
    assert!(
        text.contains(&format!("{dead}: cannot connect: ")),
        "{text}"
    );
    assert!(
        text.contains("no-such-host.invalid:1: its name is not known: "),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_address_does_not_hold_a_machine_up_for_long() {
    let authority = Authority::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![
        silent.local_addr().unwrap().into(),
        authority.address.into(),
    ];
    let invite = authority.invite_at("edge1", addresses, Timestamp::now() + HOUR);
    let mut client = Client::default();
    client.limits.time = Duration::from_secs(2);
    let request = Machine::new(1).request("edge1");
    soon("answer", client.join(&invite, &request))
        .await
        .unwrap();
}

#[tokio::test]
async fn another_authority_is_recognized_before_the_secret_is_shown() {
    let (authority, other) = (Authority::new().await, Authority::new().await);
    let addresses = vec![other.address.into()];
    let invite = authority.invite_at("edge1", addresses, Timestamp::now() + HOUR);
    let error = join(&invite, &Machine::new(1)).await.unwrap_err();
    let JoinError::WrongRoot {
        expected, found, ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(expected, authority.store.root().unwrap().fingerprint());
    assert_eq!(found, [other.store.root().unwrap().fingerprint()]);
    assert!(
        other
            .store
            .audit()
            .unwrap()
            .iter()
            .all(|entry| entry.kind != "refused")
    );
}

#[tokio::test]
async fn a_member_that_is_not_the_authority_is_not_shown_the_secret() {
    let authority = Authority::new().await;
    // A taken-over member that serves everything an authority does, certificates and all.
    let member = Authority::member(&authority.store, "edge9", "10.0.0.9", 9);
    let (address, _served) = serve(Server::new(authority.store.clone()), &member).await;
    let invite = authority.invite_at("edge1", vec![address.into()], Timestamp::now() + HOUR);
    let error = join(&invite, &Machine::new(1)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected node hub, found node edge9"),
        "{error}"
    );
    let log = authority.store.audit().unwrap();
    assert!(
        log.iter()
            .all(|entry| !entry.requester.starts_with("enrolment"))
    );
    join(&authority.invite("edge1"), &Machine::new(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let authority = Authority::new().await;
    let now = Timestamp::now();
    let client = |time| Client::with_clock(TestClock::at(time));
    let machine = Machine::new(1);
    let invite = authority.invite("edge1");
    let request = machine.request("edge1");

    // The authority's clock goes on: half an hour is left before the words would change.
    let wrong = now + 40 * DAY + HOUR + HOUR / 2;
    let error = soon("answer", client(wrong).join(&invite, &request))
        .await
        .unwrap_err();
    let JoinError::WrongClock { clock, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(clock.skew() >= 40 * DAY + HOUR);
    let text = error.to_string();
    assert!(
        text.starts_with("this machine's clock is 40 d 1 h ahead of the authority's"),
        "{text}"
    );

    // A machine without a clock: the revocation list says how late it is at least.
    let enrolled = soon("answer", client(Timestamp::MIN).join(&invite, &request))
        .await
        .unwrap();
    assert_eq!(enrolled.certificate.id().as_str(), "edge1");
}

#[tokio::test]
async fn a_member_renews_with_new_keys_until_it_is_revoked() {
    let authority = Authority::new().await;
    let machine = Machine::new(1);
    let enrolled = join(&authority.invite("edge1"), &machine).await.unwrap();
    let tls = machine.tls(&enrolled);
    let client = Client::default();
    let hub = Expected::Node("hub".parse().unwrap());
    let addresses = [authority.address];

    let next = Machine::new(2);
    let request = next.request("edge1");
    let renewed = soon("answer", client.renew(&tls, &hub, &addresses, &request))
        .await
        .unwrap();
    assert_eq!(renewed.certificate.identity().wireguard_public_key, [2; 32]);
    assert!(renewed.certificate.identity().has_role("edge"));
    assert_ne!(renewed.certificate.serial(), enrolled.certificate.serial());
    tls.replace_identity(&renewed.chain(), Arc::clone(&next.key))
        .unwrap();

    // The store knows of the revocation, the hub's TLS does not yet.
    let now = Timestamp::now();
    let target = Target::Node("edge1".parse().unwrap());
    authority
        .store
        .revoke(&target, RevocationReason::KeyCompromise, "operator", now)
        .unwrap();
    let refused = soon("answer", client.renew(&tls, &hub, &addresses, &request)).await;
    assert_eq!(reason(refused), Reason::Revoked);
    assert!(authority.last_refusal().starts_with("node edge1: "));

    // Now the hub knows too.
    authority.hub.set_trust(authority.store.trust(now).unwrap());
    let refused = soon("answer", client.renew(&tls, &hub, &addresses, &request)).await;
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("CertificateRevoked"), "{error}");
}

/// Makes a member whose certificate is due for renewal at once: its life is short, and the hour
/// that it is dated back is part of it.
async fn due_member(authority: &Authority, machine: &Machine, id: &str) -> MeshTls {
    let mut grant = Grant::new(id.parse().unwrap());
    grant.lifetime = Some(Duration::from_secs(600));
    let spec = InviteSpec {
        grant,
        expires: Timestamp::now() + HOUR,
    };
    let (hub, now) = ("hub".parse().unwrap(), Timestamp::now());
    let addresses = vec![authority.address.into()];
    let invite = Invite::create(&authority.store, &spec, hub, addresses, "operator", now).unwrap();
    machine.tls(&join(&invite, machine).await.unwrap())
}

#[tokio::test]
async fn a_certificate_is_renewed_under_a_live_connection() {
    let authority = Authority::new().await;
    let tls = due_member(&authority, &Machine::new(1), "edge1").await;
    let first = tls.certificate();
    assert!(RenewalSchedule::of(&first).due() < Timestamp::now());

    // A connection of before, and a revocation that only the authority knows of.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = authority
        .hub
        .server_config(swarm_pki::tls::ClientAuth::Required, &[]);
    let serve = async {
        authority
            .hub
            .accept(&config, listener.accept().await.unwrap().0)
            .await
    };
    let dial = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        tls.connect(Expected::AnyMember, &[], stream).await
    };
    let (served, dialled) = soon("handshake", async { tokio::join!(serve, dial) }).await;
    let ((mut server, peer), (mut client, _)) = (served.unwrap(), dialled.unwrap());
    let now = Timestamp::now();
    let stolen = Authority::member(&authority.store, "stolen", "10.0.0.8", 8).certificate();
    let target = Target::Node("stolen".parse().unwrap());
    let reason = RevocationReason::KeyCompromise;
    authority
        .store
        .revoke(&target, reason, "operator", now)
        .unwrap();

    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let renewing = tokio::spawn({
        let (tls, kept, address) = (tls.clone(), Arc::clone(&kept), authority.address);
        let mut seed = 1;
        async move {
            let request = |current: &NodeCertificate| {
                seed += 1;
                // The first attempt fails on the caller's side.
                if seed == 2 {
                    return Err("the disk is full".into());
                }
                let machine = Machine::new(seed);
                let request = machine.request(current.id().as_str());
                Ok((machine.key, request))
            };
            let keep = |enrolled: &Enrolled, _: &Arc<PrivateKey>| {
                kept.lock().unwrap().push(enrolled.certificate.clone());
                Ok(())
            };
            let hub = Expected::Node("hub".parse().unwrap());
            Client::default()
                .keep_renewed(&tls, &hub, &[address], request, keep)
                .await
        }
    });
    let mut changes = tls.subscribe();
    tokio::time::timeout(Duration::from_secs(60), async {
        while tls.certificate() == first || !tls.trust().is_revoked(&stolen) {
            changes.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    let renewed = tls.certificate();
    assert_eq!(*kept.lock().unwrap(), std::slice::from_ref(&renewed));
    assert_eq!(renewed.identity().wireguard_public_key, [3; 32]);
    assert!(RenewalSchedule::issued_at(&renewed, Timestamp::now()).due() > Timestamp::now());

    // The connection of before goes on, and its peer is still in good standing.
    let guard = tokio::spawn(authority.hub.guard(&peer.unwrap()));
    soon("echo", async {
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    })
    .await;
    assert!(!guard.is_finished() && !renewing.is_finished());
    renewing.abort();
}

pub(crate) async fn ask(
    server: &Server,
    peer: Option<&NodeCertificate>,
    mut request: Request<Full<Bytes>>,
) -> (StatusCode, Response<Bytes>) {
    let from: SocketAddr = "192.0.2.7:1234".parse().unwrap();
    request.extensions_mut().insert(from);
    let response = server.handle(peer, request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, Response::from_parts(parts, body))
}

fn enroll(kind: &str, user: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    Request::post(format!("{PATH}/simpleenroll"))
        .header("content-type", kind)
        .header("authorization", format!("Basic {}", STANDARD.encode(user)))
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test]
async fn malformed_requests_are_refused_in_one_line() {
    let authority = Authority::new().await;
    let server = Server::new(authority.store.clone());
    let get = |path: &str| Request::get(path).body(Full::default()).unwrap();
    let kind = "application/pkcs10";
    let cases = [
        (get("/"), 404),
        (get("/.well-known/est/serverkeygen"), 404),
        (get("/.well-known/est/simpleenroll"), 405),
        (
            Request::post("/.well-known/est/cacerts")
                .body(Full::default())
                .unwrap(),
            405,
        ),
        (
            Request::post("/.well-known/est/simpleenroll")
                .body(Full::default())
                .unwrap(),
            401,
        ),
        (
            Request::post("/.well-known/est/simplereenroll")
                .body(Full::default())
                .unwrap(),
            403,
        ),
        (enroll("text/plain", "edge1:x", "x"), 415),
        (enroll(kind, "edge1:x", vec![b'a'; 100_000]), 413),
        (enroll(kind, "edge1:x", "!"), 400),
        (enroll(kind, "edge1:x", "AAAA"), 400),
        (enroll(kind, "no:colon:or:id", "AAAA"), 400),
        (enroll(kind, "UPPER:x", "AAAA"), 401),
    ];
    for (request, status) in cases {
        let what = format!("{request:?}");
        let (found, response) = ask(&server, None, request).await;
        assert_eq!(found.as_u16(), status, "{what}");
        let line = str::from_utf8(response.body()).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(response.headers().contains_key("date"));
    }
    assert!(
        authority
            .last_refusal()
            .starts_with("enrolment 192.0.2.7: ")
    );
}

#[tokio::test]
async fn requests_that_show_nothing_are_in_the_log_until_they_flood_it() {
    let authority = Authority::new().await;
    let server = Server::new(authority.store.clone());
    let refusals = || {
        let log = authority.store.audit().unwrap();
        log.iter().filter(|entry| entry.kind == "refused").count()
    };
    let post = |operation: &str| Request::post(format!("{PATH}/{operation}"));
    let anonymous = |authorization: Option<&str>| {
        let mut request = post("simpleenroll").body(Full::default()).unwrap();
        if let Some(value) = authorization {
            let value = value.parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        request
    };
    for (count, shown) in [
        None,
        Some(""),
        Some("Basic"),
        Some("Basic !"),
        Some("Bearer x"),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, _) = ask(&server, None, anonymous(shown)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(refusals(), count + 1, "{shown:?}");
        let refusal = authority.last_refusal();
        assert!(
            refusal.starts_with("enrolment 192.0.2.7: redeem: "),
            "{refusal}"
        );
    }
    let renewal = post("simplereenroll").body(Full::default()).unwrap();
    assert_eq!(ask(&server, None, renewal).await.0, StatusCode::FORBIDDEN);
    let refusal = authority.last_refusal();
    assert!(
        refusal.starts_with("enrolment 192.0.2.7: renew: "),
        "{refusal}"
    );

    for _ in 0..100 {
        let (status, _) = ask(&server, None, anonymous(None)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(refusals(), 10);
    // Whoever has an invite is not taken for one of them.
    join(&authority.invite("edge1"), &Machine::new(1))
        .await
        .unwrap();
}

/// Opens connections from another address of the loopback network.
async fn from_elsewhere(last: u8, to: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, last], 0).into())?;
    socket.connect(to).await
}

#[tokio::test]
async fn hostile_clients_do_not_keep_others_from_joining() {
    let authority = Authority::new().await;
    let mut held = Vec::new();
    // A flood from one place: most of them are closed at once.
    for _ in 0..300 {
        held.push(from_elsewhere(66, authority.address).await.unwrap());
    }
    let hung_up = soon("end of the surplus", async {
        let mut hung_up = 0;
        for stream in &mut held[32..] {
            let ended = stream.read_u8().await;
            hung_up += usize::from(ended.is_err());
        }
        hung_up
    });
    assert_eq!(hung_up.await, 268);
    held.truncate(32);
    // Half a handshake.
    for stream in &mut held[..16] {
        stream.write_all(&[0x16, 3, 1, 2]).await.unwrap();
    }
    // Heads and bodies that never end.
    let elsewhere = Authority::member(&authority.store, "slow", "10.0.0.7", 7);
    let mut slow = Vec::new();
    for n in 0..20 {
        let stream = from_elsewhere(67, authority.address).await.unwrap();
        let (mut stream, _) = elsewhere
            .connect(Expected::AnyMember, &[b"http/1.1"], stream)
            .await
            .unwrap();
        let head: &[u8] = if n % 2 == 0 {
            b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nx: "
        } else {
            b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nauthorization: Basic ZWRnZTE6eA==\r\n\
              content-type: application/pkcs10\r\ncontent-length: 20000\r\n\r\nA"
        };
        stream.write_all(head).await.unwrap();
        slow.push(stream);
    }
    let start = tokio::time::Instant::now();
    for n in 0..5 {
        let invite = authority.invite(&format!("edge{n}"));
        join(&invite, &Machine::new(n + 1)).await.unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );

    // None of them holds out for long.
    soon("end of all of them", async {
        for stream in &mut held {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        for stream in &mut slow {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
                "{answer}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn guesses_are_limited_by_name_and_address() {
    let authority = Authority::new().await;
    let server = Server::new(authority.store.clone());
    let invite = authority.invite("edge1");
    let csr = Machine::new(1).request("edge1").to_pem();
    let attempt = |secret: &str| {
        enroll(
            "application/pkcs10",
            &format!("edge1:{secret}"),
            csr.clone(),
        )
    };
    for n in 0..10 {
        let guess = if n % 2 == 0 {
            "guess".to_owned()
        } else {
            "A".repeat(32)
        };
        let (status, response) = ask(&server, None, attempt(&guess)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["swarm-refusal"], "wrong-secret");
    }
    let right = invite.secret().expose();
    let (status, response) = ask(&server, None, attempt(&right)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "60");
    // From elsewhere the invite is good.
    join(&invite, &Machine::new(1)).await.unwrap();
}

#[tokio::test]
async fn an_invite_that_cannot_be_written_is_not_made() {
    let authority = Authority::new().await;
    let spec = InviteSpec {
        grant: Grant::new("edge1".parse().unwrap()),
        expires: Timestamp::now() + HOUR,
    };
    let (hub, now) = ("hub".parse().unwrap(), Timestamp::now());
    let made = Invite::create(&authority.store, &spec, hub, Vec::new(), "operator", now);
    assert!(matches!(
        made,
        Err(CreateInviteError::Invite(InviteError::Malformed(_)))
    ));
    assert!(authority.store.open_invites(now).unwrap().is_empty());
}

/// Runs a program with input and returns its output.
pub(crate) async fn run(program: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    let output = soon("end of a program", child.wait_with_output())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} {arguments:?}: {errors}",
        program.display()
    );
    output.stdout
}

#[tokio::test]
async fn curl_and_openssl_alone_can_enrol_and_renew() {
    let test = "enrolment by curl and openssl";
    let (Some(curl), Some(openssl)) = (program(test, "curl"), program(test, "openssl")) else {
        return;
    };
    let authority = Authority::new().await;
    let invite = authority.invite("edge1");
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
    let url = |operation: &str| format!("https://{}{PATH}/{operation}", authority.address);
    let fetch = [
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--cacert",
        &path("root.pem"),
    ];

    // The authority's certificates and revocation lists.
    let message = run(&curl, &[&fetch[..], &[&url("cacerts")]].concat(), b"").await;
    let message = run(&openssl, &["base64", "-d"], &message).await;
    let print = ["pkcs7", "-inform", "DER", "-print_certs"];
    let chain = String::from_utf8(run(&openssl, &print, &message).await).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "{chain}");
    assert_eq!(chain.matches("BEGIN X509 CRL").count(), 2, "{chain}");
    std::fs::write(path("authorities.pem"), chain).unwrap();

    // What a request should have.
    let wanted = run(&curl, &[&fetch[..], &[&url("csrattrs")]].concat(), b"").await;
    let wanted = run(&openssl, &["asn1parse"], &wanted).await;
    assert!(
        String::from_utf8(wanted)
            .unwrap()
            .contains("2.25.1398231629")
    );

    // A request with the identity extension: version 1, a WireGuard key, no roles.
    let extension = format!(
        "2.25.1398231629=DER:3027{}0420{}3000",
        "020101",
        "42".repeat(32)
    );
    let request = async |key: &str| {
        let arguments = [
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            key,
            "-subj",
            "/CN=edge1",
            "-addext",
            &extension,
            "-outform",
            "DER",
        ];
        let der = run(&openssl, &arguments, b"").await;
        run(&openssl, &["base64"], &der).await
    };
    let post = [
        "--header",
        "Content-Type: application/pkcs10",
        "--data-binary",
        "@-",
    ];
    let user = format!("edge1:{}", *invite.secret().expose());
    let to = url("simpleenroll");
    let arguments = [&fetch[..], &post, &["--user", &user, &to]].concat();
    let answer = run(&curl, &arguments, &request(&path("edge1.key")).await).await;
    let answer = run(&openssl, &["base64", "-d"], &answer).await;
    let certificate = run(&openssl, &print, &answer).await;
    std::fs::write(path("edge1.pem"), &certificate).unwrap();
    let verify = [
        "verify",
        "-crl_check_all",
        "-CAfile",
        &path("authorities.pem"),
        "-CRLfile",
        &path("authorities.pem"),
        &path("edge1.pem"),
    ];
    run(&openssl, &verify, b"").await;

    // And the renewal, with the certificate and another key.
    let own = ["--cert", &path("edge1.pem"), "--key", &path("edge1.key")];
    std::fs::write(
        path("edge1.pem"),
        [certificate, std::fs::read(path("authorities.pem")).unwrap()].concat(),
    )
    .unwrap();
    let to = url("simplereenroll");
    let arguments = [&fetch[..], &post, &own, &[&to]].concat();
    let answer = run(&curl, &arguments, &request(&path("next.key")).await).await;
    let answer = run(&openssl, &["base64", "-d"], &answer).await;
    let renewed = String::from_utf8(run(&openssl, &print, &answer).await).unwrap();
    assert_eq!(renewed.matches("BEGIN CERTIFICATE").count(), 1);
    let now = Timestamp::now();
    let record = authority
        .store
        .node(&"edge1".parse().unwrap(), now)
        .unwrap()
        .unwrap();
    assert!(renewed.contains(&record.certificate.to_pem()[30..100]));
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_said_to() {
    // A member's swarm without an enrolment server: an echo of TLS.
    let swarm = Swarm::new();
    let authority = Authority::new().await;
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _served = Served(tokio::spawn(async move {
        let config = hub.server_config(swarm_pki::tls::ClientAuth::Optional, &[]);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok((mut stream, _)) = hub.accept(&config, stream).await {
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
                let _ = stream.shutdown().await;
            }
        }
    }));
    let invite = authority.invite_at("edge1", vec![address.into()], Timestamp::now() + HOUR);
    let error = join(&invite, &Machine::new(1)).await.unwrap_err();
    let JoinError::Unreachable { tried } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(tried[0].1, AttemptError::Http(_)), "{tried:?}");
}
