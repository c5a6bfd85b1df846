//! The authority on disk: certificates a second, and opening a store that has many.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot go on has failed"
)]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swarm_pki::store::{Grant, Store, StoreSpec};
use swarm_pki::{CertificateRequest, KeyAlgorithm, NodeId, PrivateKey, SwarmName, Timestamp};

/// How many certificates the opened store holds.
const MANY: usize = 100_000;

fn make(directory: &std::path::Path) -> Store {
    let spec = StoreSpec::new("bench".parse().unwrap(), "bench.internal".parse().unwrap());
    Store::init(directory, spec, "bench", Timestamp::now()).unwrap()
}

/// A request with a key of its own for every node, made before the clock runs.
fn wanted(from: usize, count: usize) -> Vec<(CertificateRequest, Grant)> {
    let swarm: SwarmName = "bench".parse().unwrap();
    (from..from + count)
        .map(|number| {
            let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
            let id: NodeId = format!("node-{number}").parse().unwrap();
            let mut wireguard = [7; 32];
            wireguard[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let request = CertificateRequest::build(&key, &swarm, &id, wireguard).unwrap();
            let mut grant = Grant::new(id);
            let [_, a, b, c] = (number as u32).to_be_bytes();
            grant.addresses = vec![[10, a, b, c].into()];
            (request, grant)
        })
        .collect()
}

fn issue(c: &mut Criterion) {
    let mut group = c.benchmark_group("pki_store");
    group.sample_size(10);
    for threads in [1, 64] {
        let each = if threads == 1 { 64 } else { 16 };
        group.throughput(Throughput::Elements((threads * each) as u64));
        group.bench_function(format!("issue, {threads} at once"), |bencher| {
            let directory = tempfile::tempdir().unwrap();
            let store = make(&directory.path().join("state"));
            let mut made = 0;
            bencher.iter_custom(|rounds| {
                let mut taken = Duration::ZERO;
                for _ in 0..rounds {
                    let all = wanted(made, threads * each);
                    made += all.len();
                    let started = Instant::now();
                    std::thread::scope(|scope| {
                        for part in all.chunks(each) {
                            let store = store.clone();
                            scope.spawn(move || {
                                for (request, grant) in part {
                                    store
                                        .issue(request, grant, "bench", Timestamp::now())
                                        .unwrap();
                                }
                            });
                        }
                    });
                    taken += started.elapsed();
                }
                taken
            });
        });
    }
    group.finish();
}

fn open(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let store = make(&directory.path().join("state"));
    for start in (0..MANY).step_by(5_000) {
        let results = store.issue_many(&wanted(start, 5_000), "bench", Timestamp::now());
        assert!(results.unwrap().iter().all(Result::is_ok));
    }
    let mut group = c.benchmark_group("pki_store");
    group.sample_size(10);
    group.bench_function(format!("open with {MANY} certificates"), |bencher| {
        bencher.iter(|| Store::open(store.directory()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, issue, open);
criterion_main!(benches);
