//! What a trust with a long roster keeps in memory, counted by the allocator.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

mod allocations;

use std::time::Duration;

use swarm_pki::testing::TestAuthority;
use swarm_pki::{TrustBundle, Validity};

const NODES: usize = 10_000;

fn main() {
    let mut authority = TestAuthority::default();
    let now = authority.start;
    for index in 0..NODES {
        let mut identity = authority.identity(&format!("edge{index}"), &["edge"]);
        let [_, _, high, low] = (index as u32).to_be_bytes();
        // The usual test address is a hash, which two of so many may share.
        identity.addresses = vec![[10, 200, high, low].into()];
        let validity = Validity::starting(now, Duration::from_secs(30 * 86_400), Duration::ZERO);
        authority.issue_as(&identity, validity);
    }
    let der = authority.bundle(now).to_der().unwrap();
    let before = allocations::live();
    let mut trust = authority.empty_trust();
    let bundle = TrustBundle::from_der(&der).unwrap();
    let decoded = allocations::live();
    trust.merge(&bundle, now);
    drop(bundle);
    let after = allocations::live();
    assert_eq!(trust.roster().len(), NODES);
    let clone = trust.clone();
    let cloned = allocations::live();
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "bundle of {NODES} nodes: {:.1} MB of DER",
        megabytes(der.len())
    );
    println!("decoded: {:.1} MB", megabytes(decoded - before));
    println!("trust, bundle dropped: {:.1} MB", megabytes(after - before));
    println!("a clone of it more: {:.3} MB", megabytes(cloned - after));
    drop(clone);
}
