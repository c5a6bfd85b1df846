//! Changes of configuration while sessions live.

use std::time::Duration;

use super::{A, B, C, drops, elsewhere, pair, session};
use crate::core::DropReason;
use crate::key::{PresharedKey, PublicKey};
use crate::testing::Network;

#[test]
fn a_pre_shared_key_must_be_the_same_and_may_change_while_running() {
    let mut network = session();
    let key = PresharedKey::from_bytes([9; 32]);
    let mut config = network.peer_config(B);
    config.preshared_key = Some(key.clone());
    network
        .with(A, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.send(A, B, b"alone with the key");
    network.run_for(Duration::from_millis(30));
    assert!(network.received(B).is_empty());
    assert_eq!(drops(&network, A, DropReason::BadHandshake), 1);
    let mut config = network.peer_config(A);
    config.preshared_key = Some(key);
    network
        .with(B, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.send(B, A, b"both with the key");
    network.run_for(Duration::from_millis(30));
    assert_eq!(network.received(A).len(), 1);
    assert_eq!(
        network.received(B).len(),
        1,
        "what waited is sent in the new session"
    );
    // The same key again changes nothing.
    let mut config = network.peer_config(A);
    config.preshared_key = Some(PresharedKey::from_bytes([9; 32]));
    network
        .with(B, |core, now| core.update_peer(&config, now))
        .unwrap();
    let peer = network.core(A).public_key();
    assert!(network.core(B).peer(&peer, network.now()).unwrap().session);
}

#[test]
fn a_removed_peer_is_gone_at_once_both_ways() {
    let mut network = session();
    network.send(B, A, b"on its way");
    let peer = network.core(B).public_key();
    assert!(network.with(A, |core, now| core.remove_peer(&peer, now)));
    assert!(!network.with(A, |core, now| core.remove_peer(&peer, now)));
    network.send(A, B, b"no route");
    network.run_for(Duration::from_millis(20));
    assert!(network.received(A).is_empty() && network.received(B).is_empty());
    assert_eq!(drops(&network, A, DropReason::UnknownIndex), 1);
    assert_eq!(drops(&network, A, DropReason::NoRoute), 1);
}

#[test]
fn a_prefix_belongs_to_the_last_peer_that_claimed_it() {
    let mut network = Network::new(1);
    for _ in 0..3 {
        network.add_node();
    }
    network.connect(A, B);
    let mut config = network.peer_config(C);
    config.allowed_ips = vec![Network::inner(B).into()];
    network
        .with(A, |core, now| core.add_peer(&config, now))
        .unwrap();
    let [b, c] = [B, C].map(|id| network.core(id).public_key());
    assert!(
        network
            .core(A)
            .peer(&b, network.now())
            .unwrap()
            .allowed_ips
            .is_empty()
    );
    assert_eq!(
        network
            .core(A)
            .peer(&c, network.now())
            .unwrap()
            .allowed_ips
            .len(),
        1
    );
    network.with(A, |core, now| core.remove_peer(&c, now));
    assert!(!network.core(A).is_allowed(Network::inner(B).into()));
}

#[test]
fn a_changed_private_key_ends_the_sessions_and_new_ones_begin_under_it() {
    let mut network = session();
    let key = crate::key::PrivateKey::from_bytes([5; 32]);
    let old = network.core(A).public_key();
    network.with(A, |core, now| core.set_private_key(key, now));
    network.send(A, B, b"as nobody known");
    network.run_for(Duration::from_millis(20));
    assert!(network.received(B).is_empty());
    let config = network.peer_config(A);
    network
        .with(B, |core, now| {
            core.remove_peer(&old, now);
            core.add_peer(&config, now)
        })
        .unwrap();
    network.send(B, A, b"x");
    network.run_for(Duration::from_millis(50));
    assert_eq!(network.received(A).len(), 1);
}

#[test]
fn a_peer_cannot_be_added_twice_nor_be_oneself() {
    let mut network = pair();
    let config = network.peer_config(B);
    let own = network.peer_config(A);
    let exists = network
        .with(A, |core, now| core.add_peer(&config, now))
        .unwrap_err();
    assert!(matches!(exists, crate::Error::PeerExists { .. }));
    let own = network
        .with(A, |core, now| core.add_peer(&own, now))
        .unwrap_err();
    assert!(matches!(own, crate::Error::PeerIsSelf));
    let unknown = PublicKey::from_bytes([1; 32]);
    let unknown = network.with(A, |core, now| core.set_endpoint(&unknown, elsewhere(), now));
    assert!(matches!(
        unknown.unwrap_err(),
        crate::Error::UnknownPeer { .. }
    ));
}
