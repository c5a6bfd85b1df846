//! What the tests of the store share.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use swarm_pki::store::{Grant, Store, StoreSpec};
use swarm_pki::{
    CertificateRequest, Fingerprint, KeyAlgorithm, NodeCertificate, NodeId, PrivateKey, Role,
    Timestamp, Trust,
};
use tempfile::TempDir;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

pub(crate) fn spec() -> StoreSpec {
    StoreSpec::new("testers".parse().unwrap(), "test.internal".parse().unwrap())
}

pub(crate) fn make() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::init(dir.path().join("ca/state"), spec(), "tester", now()).unwrap();
    (dir, store)
}

pub(crate) fn request(wireguard: u8) -> CertificateRequest {
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    request_with(&key, wireguard)
}

pub(crate) fn request_with(key: &PrivateKey, wireguard: u8) -> CertificateRequest {
    let (swarm, claimed) = ("testers".parse().unwrap(), "whoever".parse().unwrap());
    CertificateRequest::build(key, &swarm, &claimed, [wireguard; 32]).unwrap()
}

pub(crate) fn grant(name: &str, address: u8) -> Grant {
    let mut grant = Grant::new(id(name));
    grant.roles = [Role::edge()].into();
    grant.addresses = vec![[10, 44, 0, address].into()];
    grant
}

pub(crate) fn live(trust: &Trust) -> Vec<NodeCertificate> {
    trust.roster().cloned().collect()
}

/// What a node that has merged everything reports to know.
pub(crate) fn knows(trust: &Trust) -> Vec<Fingerprint> {
    trust
        .roots()
        .chain(trust.issuers())
        .map(|authority| authority.fingerprint())
        .collect()
}
