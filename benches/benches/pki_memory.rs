//! What a trust with a long roster keeps in memory, counted by the allocator.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use swarm_pki::testing::TestAuthority;
use swarm_pki::{TrustBundle, Validity};

const NODES: usize = 10_000;

static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the pointer came from `alloc`, that is from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let before = LIVE.load(Ordering::Relaxed);
    let mut trust = authority.empty_trust();
    let bundle = TrustBundle::from_der(&der).unwrap();
    let decoded = LIVE.load(Ordering::Relaxed);
    trust.merge(&bundle, now);
    drop(bundle);
    let after = LIVE.load(Ordering::Relaxed);
    assert_eq!(trust.roster().len(), NODES);
    let clone = trust.clone();
    let cloned = LIVE.load(Ordering::Relaxed);
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
