//! The way back for a node whose certificate expired while it was away.
//!
//! It proves itself by the key of its last certificate, and an operator approves (`swarm ca approve`). What it
//! trusts may be old as well: links lead from the root that it knows to the one of today.

use std::net::SocketAddr;
use std::time::Duration;

use swarm_pki::enroll::{Client, Enrolled, Reenrolled};
use swarm_pki::store::{Issued, Reenrolment, Store};
use swarm_pki::tls::Expected;
use swarm_pki::{CertificateRequest, Role, Timestamp, Trust};

use crate::error::{Error, chain};
use crate::identity::{self, Identity};
use crate::layout::{Layout, NodeLayout};
use crate::member::{Member, read_plan};

use super::Shared;
use super::renewal::{PATIENCE, authorities};

/// After this long an authority that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(30);

/// Comes back before a start, however long it takes, when the certificate has expired; else does nothing.
pub(super) async fn before_start(layout: &Layout, node: &NodeLayout) -> Result<(), Error> {
    let own = Identity::load(node)?;
    let certificate = own.certificate.clone();
    if certificate.not_after() >= Timestamp::now() {
        return Ok(());
    }
    tracing::warn!(
        node = %certificate.id(), ended = %certificate.not_after(),
        "the certificate has expired; asking the authority to let this node come back"
    );
    let request = request(&own)?;
    let (certificate, issuer, trust) = if layout.authority().exists() {
        let store = Store::open(layout.authority())?;
        store.refresh_crls(Timestamp::now())?;
        let issued = at_home(&store, &own, &request)?;
        (
            issued.certificate,
            issued.issuer,
            store.trust(Timestamp::now())?,
        )
    } else {
        let trust = identity::load_trust(node, &certificate)?;
        let plan = read_plan(layout)?;
        let addresses: Vec<_> = plan.hubs().filter_map(|hub| hub.enroll).collect();
        let enrolled = ask_until_approved(&trust, &addresses, &request).await;
        (enrolled.certificate, enrolled.issuer, enrolled.trust)
    };
    identity::save_trust(node, &trust)?;
    Identity::new(own.key, certificate, vec![issuer]).save(node)
}

/// Tries once to come back while the node runs, for it was out of reach until its certificate ended.
pub(super) async fn while_running(shared: &Shared) -> Result<(), Error> {
    let member: &Member = &shared.member;
    let node = member.node_layout();
    let own = Identity::load(node)?;
    let request = request(&own)?;
    if let Some(hub) = &shared.hub {
        let issued = at_home(hub.authority.store(), &own, &request)?;
        return member.replace_identity(Identity::new(
            own.key,
            issued.certificate,
            vec![issued.issuer],
        ));
    }
    let trust = Trust::clone(&member.tls().trust());
    match ask(&trust, &authorities(member), &request).await? {
        Reenrolled::Enrolled(enrolled) => {
            member.take_over(&enrolled.trust.to_bundle())?;
            let identity = Identity::new(own.key, enrolled.certificate, vec![enrolled.issuer]);
            member.replace_identity(identity)
        }
        _ => Err(Error::Refused {
            by: "the authority".to_owned(),
            reason: format!(
                "an operator has to approve first: swarm ca approve {}",
                member.id()
            ),
        }),
    }
}

/// A request with the key of the last certificate, which is the proof.
fn request(own: &Identity) -> Result<CertificateRequest, Error> {
    let identity = own.certificate.identity();
    let tunnel = identity.wireguard_public_key;
    CertificateRequest::build(&own.key, &identity.swarm, &identity.id, tunnel)
        .map_err(|error| swarm_pki::Error::from(error).into())
}

/// A hub with the authority at its side needs nobody's approval: whoever has this directory can issue anyway.
fn at_home(store: &Store, own: &Identity, request: &CertificateRequest) -> Result<Issued, Error> {
    let (id, now) = (own.certificate.id(), Timestamp::now());
    let requester = format!("hub {id}");
    let asked = store.reenroll(request, &requester, now)?;
    let answer = match asked {
        Reenrolment::Pending { .. } => {
            store.approve_reenrolment(id, &requester, now)?;
            store.reenroll(request, &requester, now)?
        }
        issued => issued,
    };
    match answer {
        Reenrolment::Issued(issued) => Ok(issued),
        _ => Err(Error::Refused {
            by: "the authority".to_owned(),
            reason: "it does not take its own approval".to_owned(),
        }),
    }
}

async fn ask(
    trust: &Trust,
    addresses: &[SocketAddr],
    request: &CertificateRequest,
) -> Result<Reenrolled, Error> {
    let mut client = Client::default();
    client.limits.time = PATIENCE;
    let hubs = Expected::Role(Role::hub());
    Ok(client.reenroll(trust, &hubs, addresses, request).await?)
}

async fn ask_until_approved(
    trust: &Trust,
    addresses: &[SocketAddr],
    request: &CertificateRequest,
) -> Enrolled {
    loop {
        let pause = match ask(trust, addresses, request).await {
            Ok(Reenrolled::Enrolled(enrolled)) => return *enrolled,
            Ok(Reenrolled::Pending { retry_after }) => {
                let node = request.claimed_node().map(ToString::to_string);
                tracing::warn!(
                    "waiting for approval; on the hub: swarm ca approve {}",
                    node.unwrap_or_default()
                );
                retry_after
            }
            Ok(_) => AGAIN,
            Err(error) => {
                tracing::warn!("cannot come back yet: {}", chain(&error));
                AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}
