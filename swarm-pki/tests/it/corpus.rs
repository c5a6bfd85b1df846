//! The committed fuzzing corpora, replayed; and the means to make them anew.

use std::path::{Path, PathBuf};

use std::time::Duration;

use swarm_pki::testing::{TestAuthority, fuzz_bundle, fuzz_crl, fuzz_csr, fuzz_identity};
use swarm_pki::{SerialNumber, ServiceIdentity, ServiceRequest, Signer as _, Validity};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("pki_csr", fuzz_csr),
    ("pki_bundle", fuzz_bundle),
    ("pki_identity", fuzz_identity),
    ("pki_crl", fuzz_crl),
];

/// Where the corpora are in the repository; the published crate comes without them.
fn corpora() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    path.is_dir().then_some(path)
}

#[test]
fn the_corpora_replay_without_a_panic() {
    let Some(corpora) = corpora() else {
        assert!(std::env::var_os("CI").is_none(), "no corpora");
        #[allow(clippy::print_stderr, reason = "a skip says so")]
        {
            eprintln!("SKIPPED: the_corpora_replay_without_a_panic: no corpora beside this crate");
        }
        return;
    };
    for (target, run) in TARGETS {
        let files = std::fs::read_dir(corpora.join(target)).unwrap();
        let mut count = 0;
        for file in files {
            run(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 6, "{target}: {count}");
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_survived() {
    for (target, name, seed) in seeds() {
        let (_, run) = TARGETS
            .into_iter()
            .find(|(known, _)| *known == target)
            .unwrap();
        run(&seed);
        let step = seed.len().div_ceil(256);
        for at in (0..seed.len()).step_by(step) {
            run(&seed[..at]);
            let mut flipped = seed.clone();
            flipped[at] ^= 1 << (at % 8);
            run(&flipped);
        }
        assert!(!name.is_empty());
    }
}

/// Valid values of this crate's making, one or more for each target.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut authority = TestAuthority::default();
    let now = authority.start;
    let node = authority.issue("edge1", &["edge", "hub"]);
    let other = authority.issue("edge2", &[]);
    let identity = node.certificate.der().to_vec();
    // SwarmIdentity: version 1, a WireGuard key, the roles edge and hub.
    let mut extension = vec![0x30, 50, 0x02, 1, 1, 0x04, 32];
    extension.extend([7; 32]);
    extension.extend(b"\x30\x0b\x0c\x04edge\x0c\x03hub");
    assert!(identity.windows(13).any(|part| extension.ends_with(part)));
    let empty = authority.crl(now).der().to_vec();
    let full = authority.revoke(&other.certificate, now).der().to_vec();
    let bundle = authority.bundle(now).to_der().unwrap();
    let next = TestAuthority::default();
    let validity = Validity::starting(now, Duration::from_secs(86_400), Duration::ZERO);
    let serial = SerialNumber::from_random([9; 16]);
    let link = authority
        .root
        .link_root(next.root.certificate(), serial, validity)
        .unwrap();
    let mut linked = authority.bundle(now);
    linked.roots.push(next.root.certificate().clone());
    linked.links.push(link);
    let linked = linked.to_der().unwrap();
    let service = ServiceIdentity::new(authority.swarm.clone(), "printer".parse().unwrap());
    let key = node.key.public_key();
    let certificate = authority
        .issuing
        .issue_service(key, &service, serial, validity)
        .unwrap();
    let asked = ServiceRequest::build(&*node.key, &service.swarm, &service.name).unwrap();
    let none = swarm_pki::TrustBundle::default().to_der().unwrap();
    vec![
        ("pki_csr", "request", node.request().der().to_vec()),
        (
            "pki_csr",
            "request-pem",
            node.request().to_pem().into_bytes(),
        ),
        ("pki_csr", "service", asked.der().to_vec()),
        ("pki_bundle", "bundle", bundle),
        ("pki_bundle", "linked", linked),
        ("pki_bundle", "empty", none),
        ("pki_identity", "certificate", identity),
        ("pki_identity", "service", certificate.der().to_vec()),
        ("pki_identity", "extension", extension),
        ("pki_crl", "empty", empty),
        ("pki_crl", "one", full),
    ]
}

/// Not a test: writes seeds and broken variants of them into the repository's corpora.
#[test]
#[ignore = "writes the corpora anew"]
fn write_the_corpora() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, name, seed) in seeds() {
        let directory = root.join(target);
        std::fs::create_dir_all(&directory).unwrap();
        let mut trailing = seed.clone();
        trailing.push(0);
        let mut flipped = seed.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x40;
        let cut = seed[..seed.len() * 2 / 3].to_vec();
        for (kind, bytes) in [
            ("valid", seed),
            ("trailing", trailing),
            ("flipped", flipped),
            ("cut", cut),
        ] {
            std::fs::write(directory.join(format!("{name}-{kind}")), bytes).unwrap();
        }
    }
}
