//! A node is revoked: how long until it is cut off everywhere, measured from outside it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use swarm::{Layout, Member};
use swarm_matrix::{Admin, Endpoint, Localpart, ServerName, SharedSecret, UserId};
use swarm_pki::Role;
use swarm_pki::tls::{Expected, http as mesh};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, EDGE3, HUB, Scenario, read};
use crate::report::{Failure, chain};

use super::{bus, health};

/// How long a revocation may take, everywhere.
const ASKED: Duration = Duration::from_secs(2);
/// When the demo gives up.
const LIMIT: Duration = Duration::from_secs(15);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    let took = record
        .step(
            "edge2 revoked (swarm revoke): tunnel, NATS connection and Matrix session cut",
            async {
                let key = tunnel_key(demo).await?;
                let admin = administrator(demo).await?;
                let start = Instant::now();
                let (asked, tunnels, nats, matrix) = tokio::join!(
                    demo.ask(HUB.0, &["revoke", EDGE2.0, "--reason", "key-compromise"]),
                    tunnels_cut(demo, &key, start),
                    nats_cut(demo, start),
                    matrix_cut(demo, &admin, start),
                );
                asked?;
                let (tunnels, nats, matrix) = (tunnels?, nats?, matrix?);
                let milliseconds = |took: Duration| format!("{:.0} ms", took.as_secs_f64() * 1e3);
                let detail = format!(
                    "tunnels of all three others {}, NATS connection {}, Matrix session {}",
                    milliseconds(tunnels),
                    milliseconds(nats),
                    milliseconds(matrix)
                );
                Ok((tunnels.max(nats).max(matrix), detail))
            },
        )
        .await?;
    record.figure("revoked to cut off everywhere", took, ASKED);
    record
        .step(
            "edge2 does not come back: no ping, no renewal, no login",
            async {
                let status = demo.status(EDGE1.0).await?;
                let own = status
                    .addresses
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let ping = demo
                    .machine(EDGE2.0)
                    .output("ping", &["-n", "-c", "1", "-W", "1", &own])
                    .await?;
                if ping.status.success() {
                    return Err(Failure::failed("edge2 still reaches edge1"));
                }
                let renewal = match demo.ask(EDGE2.0, &["renew"]).await {
                    Ok(_) => return Err(Failure::failed("edge2's certificate was renewed")),
                    Err(failure) => failure
                        .message()
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .to_owned(),
                };
                let login = match room_token(demo).await {
                    Ok(()) => return Err(Failure::failed("edge2 got a login token for the rooms")),
                    Err(reason) => reason,
                };
                Ok((
                    (),
                    format!("renewal: {renewal}\nlogin token, at the hub's public port: {login}"),
                ))
            },
        )
        .await
}

/// Asks the hub for a login token as edge2, outside the tunnel that edge2 has no more.
async fn room_token(demo: &Scenario) -> Result<(), String> {
    let layout = Layout::new(demo.directory(EDGE2.0)).map_err(|error| chain(&error))?;
    let address = SocketAddr::from((HUB.1, 7443));
    let request = Request::post("/swarm/v1/room-token")
        .header("host", address.to_string())
        .body(Bytes::new());
    let request = request.map_err(|error| error.to_string())?;
    let ask = move || async move {
        let member = Member::open(layout, None).map_err(|error| chain(&error))?;
        let config = member.tls().client_config(Expected::Role(Role::hub()), &[]);
        let answer = mesh::request(address, &config, request, &mesh::Limits::default()).await;
        match answer.map_err(|error| chain(&error))? {
            answer if answer.status().is_success() => Ok(()),
            answer => Err(format!("HTTP {}", answer.status())),
        }
    };
    demo.machine(EDGE2.0).inside(ask).await
}

async fn tunnel_key(demo: &Scenario) -> Result<String, Failure> {
    let status = demo.status(HUB.0).await?;
    let peer = status
        .tunnel
        .peers
        .into_iter()
        .find(|peer| peer.node == EDGE2.0);
    peer.map(|peer| peer.public_key)
        .ok_or_else(|| Failure::failed("edge2 is no peer of the hub"))
}

/// Waits until no other node has edge2 as a peer, by `wg show`.
async fn tunnels_cut(demo: &Scenario, key: &str, start: Instant) -> Result<Duration, Failure> {
    for node in [HUB.0, EDGE1.0, EDGE3.0] {
        let interface = demo.status(node).await?.tunnel.interface;
        until(
            start,
            &format!("the tunnel between {node} and edge2"),
            async || {
                Ok(!demo
                    .machine(node)
                    .run("wg", &["show", &interface, "peers"])
                    .await?
                    .contains(key))
            },
        )
        .await?;
    }
    Ok(start.elapsed())
}

/// Waits until the server lists no connection of edge2.
async fn nats_cut(demo: &Scenario, start: Instant) -> Result<Duration, Failure> {
    until(start, "edge2's NATS connection", async || {
        let connections = health::get(demo, HUB.0, 8222, "/connz?auth=1").await?;
        Ok(!connections.contains("/node/edge2\""))
    })
    .await
}

/// Waits until the homeserver has locked edge2's account, and it has no device any more.
async fn matrix_cut(
    demo: &Scenario,
    admin: &std::sync::Arc<Admin>,
    start: Instant,
) -> Result<Duration, Failure> {
    until(start, "edge2's Matrix session", async || {
        let admin = std::sync::Arc::clone(admin);
        let server = ServerName::parse("swarm").expect("a server's name");
        let user = UserId::new(&Localpart::parse(EDGE2.0).expect("a local part"), &server)
            .expect("a user");
        let standing = demo.machine(HUB.0).inside(move || async move {
            let locked = admin.is_cut_off(&user).await?;
            Ok::<_, swarm_matrix::Error>((locked, admin.devices(&user).await?))
        });
        let (locked, devices) = standing.await.map_err(|error| bus::failure(&error))?;
        Ok(locked == Some(true) && devices.is_empty())
    })
    .await
}

async fn administrator(demo: &Scenario) -> Result<std::sync::Arc<Admin>, Failure> {
    let secret = read(&demo.directory(HUB.0).join("matrix/registration.secret"))?;
    let secret = String::from_utf8_lossy(&secret).trim().to_owned();
    let admin = demo.machine(HUB.0).inside(move || async move {
        let endpoint = Endpoint::loopback("http://127.0.0.1:8008")?;
        let server = ServerName::parse("swarm").expect("a server's name");
        let name = Localpart::parse("swarm-admin").expect("a local part");
        Admin::connect(endpoint, server, name, SharedSecret::new(secret)).await
    });
    admin
        .await
        .map(std::sync::Arc::new)
        .map_err(|error| bus::failure(&error))
}

/// Looks until it is so, and returns how long that was after `start`.
async fn until(
    start: Instant,
    what: &str,
    so: impl AsyncFn() -> Result<bool, Failure>,
) -> Result<Duration, Failure> {
    loop {
        match so().await {
            Ok(true) => return Ok(start.elapsed()),
            Ok(false) if start.elapsed() < LIMIT => tokio::time::sleep(LOOK).await,
            Ok(false) => {
                return Err(Failure::failed(format!(
                    "{what} is not cut after {LIMIT:?}"
                )));
            }
            Err(failure) => return Err(failure),
        }
    }
}
