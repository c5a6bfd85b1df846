//! Mutual TLS between nodes: who gets in, and who does not.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use rustls::ClientConfig;
use swarm::{Authority, Layout, Member};
use swarm_pki::store::{Grant, Issued};
use swarm_pki::tls::{Expected, MeshTls, anonymous_client_config, http as mesh};
use swarm_pki::{
    CertificateRequest, KeyAlgorithm, NodeId, PrivateKey, RevocationReason, Role, Timestamp, Trust,
};

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario};
use crate::report::{Failure, chain};

/// The port of every node's own interface.
const PORT: u16 = 7444;
/// How long a revocation may take to reach every node.
const SPREAD: Duration = Duration::from_secs(5);

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "mutual TLS between nodes, both directions verified",
            async {
                let there = greet(demo, EDGE1.0, EDGE2.0).await?;
                let back = greet(demo, EDGE2.0, EDGE1.0).await?;
                Ok(((), format!("{there}; {back}")))
            },
        )
        .await?;
    record
        .step(
            "refused: no certificate, another CA's, an expired one, a revoked one, the wrong node",
            async { Ok(((), refusals(demo).await?)) },
        )
        .await
}

/// Asks a node for its health as another node; the certificates of both prove who talks to whom.
pub(super) async fn greet(demo: &Scenario, from: &str, to: &str) -> Result<String, Failure> {
    let layout = Layout::new(demo.directory(from))?;
    let (sender, receiver) = (id(from), id(to));
    let answer = demo
        .machine(from)
        .inside(move || async move {
            let member = Member::open(layout, Some(&sender))?;
            member
                .request(
                    &receiver,
                    http::Method::GET,
                    "/swarm/v1/health",
                    Bytes::new(),
                )
                .await
        })
        .await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)
        .map_err(|error| Failure::failed(format!("{to} answered {from} with no JSON: {error}")))?;
    if answer["node"] == to && answer["asked_by"] == from {
        return Ok(format!("{to} knows {from} by its certificate"));
    }
    Err(Failure::failed(format!(
        "{to} took {from} for another: {answer}"
    )))
}

/// Tries every wrong way to get in; each must be refused, and for its own reason.
async fn refusals(demo: &Scenario) -> Result<String, Failure> {
    let edge = Member::open(Layout::new(demo.directory(EDGE1.0))?, None)?;
    let authority = Authority::open(Layout::new(demo.directory(HUB.0))?)?;
    let trust = Trust::clone(&edge.tls().trust());
    let target = id(EDGE2.0);
    let address = trust
        .node(&target)
        .and_then(|node| node.identity().addresses.first().copied())
        .map(|address| SocketAddr::new(address, PORT))
        .ok_or_else(|| Failure::failed("edge2 is not in edge1's roster"))?;
    let expected = || Expected::Node(target.clone());
    let clock = || Arc::new(rustls::time_provider::DefaultTimeProvider);

    let nobody = anonymous_client_config(trust.clone(), expected(), &[], clock());
    let foreign = foreign_member(&edge)?;
    foreign.set_trust(trust.clone());
    let stranger = foreign.client_config(expected(), &[]);
    let past = Timestamp::now() - Duration::from_secs(7_200);
    let expired = stand_in(
        &authority,
        "expired",
        past,
        Duration::from_secs(3_600),
        &trust,
    )?
    .client_config(expected(), &[]);
    let revoked = stand_in(
        &authority,
        "revoked",
        Timestamp::now(),
        Duration::from_secs(3_600),
        &trust,
    )?;
    let accepted = ask(demo, address, revoked.client_config(expected(), &[])).await;
    if let Err(reason) = accepted {
        return Err(Failure::failed(format!(
            "a good certificate was refused before it was revoked: {reason}"
        )));
    }
    authority.revoke(&id("revoked"), RevocationReason::KeyCompromise, "demo")?;
    let wrong = edge.tls().client_config(Expected::Node(id(HUB.0)), &[]);

    let mut said = Vec::new();
    for (name, config) in [
        ("no certificate", nobody),
        ("another CA", stranger),
        ("expired", expired),
        ("right CA, wrong node", wrong),
    ] {
        match ask(demo, address, config).await {
            Err(reason) => said.push(format!("{name}: {reason}")),
            Ok(()) => return Err(Failure::failed(format!("{name}: was let in"))),
        }
    }
    let start = std::time::Instant::now();
    loop {
        match ask(demo, address, revoked.client_config(expected(), &[])).await {
            Err(reason) => {
                said.push(format!(
                    "revoked: {reason}, {} ms after the revocation",
                    start.elapsed().as_millis()
                ));
                return Ok(said.join("\n"));
            }
            Ok(()) if start.elapsed() > SPREAD => {
                return Err(Failure::failed(format!(
                    "revoked: was let in {SPREAD:?} later"
                )));
            }
            Ok(()) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Asks edge2 from edge1's machine with some configuration.
async fn ask(
    demo: &Scenario,
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<(), String> {
    let request = Request::get("/swarm/v1/health")
        .header("host", address.to_string())
        .body(Bytes::new());
    let request = request.map_err(|error| error.to_string())?;
    demo.machine(EDGE1.0)
        .inside(move || async move {
            let answer = mesh::request(address, &config, request, &mesh::Limits::default()).await;
            match answer {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(format!("HTTP {}", answer.status())),
                Err(error) => Err(chain(&error)),
            }
        })
        .await
}

/// A certificate of the swarm's own authority, issued as if at another time.
fn stand_in(
    authority: &Authority,
    name: &str,
    at: Timestamp,
    lifetime: Duration,
    trust: &Trust,
) -> Result<MeshTls, Failure> {
    let node = id(name);
    let key = PrivateKey::generate(KeyAlgorithm::P256)
        .map_err(swarm_pki::Error::from)
        .map_err(swarm::Error::from)?;
    let request = CertificateRequest::build(&key, &authority.swarm()?, &node, fresh_tunnel_key()?)
        .map_err(swarm_pki::Error::from)
        .map_err(swarm::Error::from)?;
    let mut grant = Grant::new(node);
    grant.roles = BTreeSet::from([Role::edge()]);
    grant.addresses = vec![address_of(name)];
    grant.lifetime = Some(lifetime);
    let Issued {
        certificate,
        issuer,
        ..
    } = authority.store().issue(&request, &grant, "demo", at)?;
    MeshTls::new(
        &[certificate.certificate().clone(), issuer],
        key,
        trust.clone(),
    )
    .map_err(|error| Failure::failed(error.to_string()))
}

/// A certificate of another authority that bears the same names.
fn foreign_member(edge: &Member) -> Result<MeshTls, Failure> {
    let foreign = tempfile::tempdir()
        .map_err(|error| Failure::environment(format!("no temporary directory: {error}")))?;
    let settings = edge.certificate().identity().clone();
    let domain = edge
        .plan()
        .domain()
        .as_str()
        .parse()
        .map_err(|error: swarm_pki::NameError| Failure::failed(error.to_string()))?;
    let spec = swarm_pki::store::StoreSpec::new(settings.swarm.clone(), domain);
    let now = Timestamp::now();
    let store = swarm_pki::store::Store::init(foreign.path().join("state"), spec, "demo", now)?;
    let key = PrivateKey::generate(KeyAlgorithm::P256)
        .map_err(swarm_pki::Error::from)
        .map_err(swarm::Error::from)?;
    let request =
        CertificateRequest::build(&key, &settings.swarm, &settings.id, fresh_tunnel_key()?)
            .map_err(swarm_pki::Error::from)
            .map_err(swarm::Error::from)?;
    let mut grant = Grant::new(settings.id.clone());
    grant.roles = settings.roles.clone();
    grant.addresses = settings.addresses.clone();
    let issued = store.issue(&request, &grant, "demo", now)?;
    let chain = [issued.certificate.certificate().clone(), issued.issuer];
    MeshTls::new(&chain, key, store.trust(now)?).map_err(|error| Failure::failed(error.to_string()))
}

fn fresh_tunnel_key() -> Result<[u8; 32], Failure> {
    let key = swarm_wg::PrivateKey::generate().map_err(swarm::Error::from)?;
    Ok(*key.public_key().as_bytes())
}

/// Addresses that no node of the demo has.
fn address_of(name: &str) -> IpAddr {
    let last = if name == "expired" { 251 } else { 252 };
    IpAddr::from([10, 77, 255, last])
}

pub(in crate::cmd::demo) fn id(name: &str) -> NodeId {
    name.parse().expect("the demo's names are ids")
}
