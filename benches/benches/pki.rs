//! Issuing, verifying and merging, beside rcgen and rustls-webpki.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustls_pki_types::CertificateDer;
use swarm_pki::testing::{TestAuthority, TestNode};
use swarm_pki::{
    CrlContents, KeyAlgorithm, PrivateKey, Revocation, RevocationList, RevocationReason,
    SerialNumber, Signer, Timestamp, TrustBundle, Validity,
};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    OwnedCertRevocationList, RevocationOptionsBuilder,
};

const NODES: usize = 10_000;
const REVOKED: u64 = 100_000;
const DAY: Duration = Duration::from_secs(86_400);

fn random_serial() -> SerialNumber {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    SerialNumber::from_random(random)
}

/// One node certificate after the other, each with a fresh random serial number.
fn issue(c: &mut Criterion) {
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
        let authority = TestAuthority::with_algorithm("testers", algorithm);
        let key = PrivateKey::generate(algorithm).unwrap();
        let identity = authority.identity("edge1", &["edge"]);
        let validity = Validity::starting(authority.start, DAY * 30, DAY);
        let rival = Rival::new(algorithm);
        let mut group = c.benchmark_group(format!("issue {algorithm}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("swarm-pki", |b| {
            b.iter(|| {
                let serial = random_serial();
                authority
                    .issuing
                    .issue_node(key.public_key(), &identity, serial, validity)
                    .unwrap()
            });
        });
        group.bench_function("rcgen", |b| b.iter(|| rival.issue()));
        group.finish();
    }
}

/// Bare rcgen: names, usages and a random serial number, the public key given.
struct Rival {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    key: rcgen::KeyPair,
}

impl Rival {
    fn new(algorithm: KeyAlgorithm) -> Self {
        let algorithm = match algorithm {
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let key = || rcgen::KeyPair::generate_for(algorithm).unwrap();
        Self {
            issuer: rcgen::Issuer::new(params, key()),
            key: key(),
        }
    }

    fn issue(&self) -> rcgen::Certificate {
        let mut params = rcgen::CertificateParams::default();
        let serial = random_serial();
        params.serial_number = Some(rcgen::SerialNumber::from_slice(serial.as_bytes()));
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 2, 1);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names = vec![
            rcgen::SanType::URI("spiffe://testers/node/edge1".try_into().unwrap()),
            rcgen::SanType::DnsName("edge1.test.internal".try_into().unwrap()),
            rcgen::SanType::IpAddress([10, 1, 2, 3].into()),
        ];
        params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(
            &[2, 25, 1_398_231_629],
            vec![7; 48],
        )];
        params.signed_by(&self.key, &self.issuer).unwrap()
    }
}

fn revoked(count: u64, at: Timestamp) -> BTreeMap<SerialNumber, Revocation> {
    let reason = RevocationReason::KeyCompromise;
    (0..count)
        .map(|_| (random_serial(), Revocation { at, reason }))
        .collect()
}

fn sign_list(authority: &TestAuthority, number: u64, count: u64) -> RevocationList {
    let now = authority.start;
    let contents = CrlContents {
        number,
        this_update: now,
        next_update: now + DAY * 7,
        revoked: revoked(count, now),
    };
    authority.issuing.sign_crl(&contents).unwrap()
}

/// Chain, revocation and identity of one certificate.
fn verify(c: &mut Criterion) {
    for count in [0, 10_000, REVOKED] {
        let mut authority = TestAuthority::default();
        let now = authority.start;
        let known = authority.issue("edge1", &["edge"]);
        let mut trust = authority.trust(now);
        let stranger = authority.issue("edge2", &["edge"]);
        let list = sign_list(&authority, 1_000, count);
        let mut news = TrustBundle::default();
        news.crls.push(list.clone());
        trust.merge(&news, now);
        let issuer = authority.issuing.certificate().der().clone();
        let chain = |node: &TestNode| [node.certificate.der().clone(), issuer.clone()];
        let mut group = c.benchmark_group(format!("verify, {count} revoked"));
        for (name, node) in [("in the roster", &known), ("not in the roster", &stranger)] {
            let chain = chain(node);
            group.bench_function(format!("swarm-pki, {name}"), |b| {
                b.iter(|| trust.verify(black_box(&chain), now).unwrap());
            });
        }
        let root = authority.root.certificate().der().clone();
        let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
        let lists: Vec<CertRevocationList<'_>> = [authority.root_crl(now), list]
            .iter()
            .map(|list| {
                OwnedCertRevocationList::from_der(list.der())
                    .unwrap()
                    .into()
            })
            .collect();
        let lists: Vec<_> = lists.iter().collect();
        let [leaf, issuer]: [CertificateDer<'_>; 2] = chain(&stranger);
        group.bench_function("rustls-webpki", |b| {
            b.iter(|| {
                let revocation = RevocationOptionsBuilder::new(&lists)
                    .unwrap()
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build();
                let leaf = EndEntityCert::try_from(black_box(&leaf)).unwrap();
                leaf.verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    &anchors,
                    std::slice::from_ref(&issuer),
                    now.into(),
                    KeyUsage::client_auth(),
                    Some(revocation),
                    None,
                )
                .map(|_| ())
                .unwrap();
            });
        });
        group.finish();
    }
}

/// Issues for a node whose address is nobody else's.
fn issue_apart(authority: &mut TestAuthority, index: usize) -> TestNode {
    let mut identity = authority.identity(&format!("edge{index}"), &["edge"]);
    let [_, _, high, low] = (index as u32).to_be_bytes();
    identity.addresses = vec![[10, 200, high, low].into()];
    let validity = Validity::starting(authority.start, DAY * 30, DAY);
    authority.issue_as(&identity, validity)
}

/// What a node does with a roster: the whole of it, the same once more, and one node more.
fn roster(c: &mut Criterion) {
    let mut authority = TestAuthority::default();
    let now = authority.start;
    for index in 0..NODES {
        issue_apart(&mut authority, index);
    }
    let whole = authority.bundle(now);
    let der = whole.to_der().unwrap();
    let newcomer = issue_apart(&mut authority, NODES);
    let mut news = TrustBundle::default();
    news.nodes.push(newcomer.certificate.certificate().clone());
    let mut trust = authority.empty_trust();
    trust.merge(&whole, now);
    assert_eq!(trust.roster().len(), NODES);
    let mut group = c.benchmark_group(format!("roster of {NODES}"));
    group.sample_size(10);
    group.bench_function("decode", |b| {
        b.iter(|| TrustBundle::from_der(&der).unwrap());
    });
    group.bench_function("decode and merge into an empty trust", |b| {
        b.iter(|| {
            let mut trust = authority.empty_trust();
            trust.merge(&TrustBundle::from_der(&der).unwrap(), now);
            assert_eq!(trust.roster().len(), NODES);
            trust
        });
    });
    group.bench_function("clone", |b| b.iter(|| trust.clone()));
    group.bench_function("merge the same", |b| {
        b.iter_batched_ref(
            || trust.clone(),
            |trust| assert!(trust.merge(&whole, now).is_empty()),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("clone and merge one node", |b| {
        b.iter(|| {
            let mut trust = trust.clone();
            assert_eq!(trust.merge(&news, now).added.len(), 1);
            trust
        });
    });
    group.finish();
}

/// A long revocation list from making to taking it over.
fn revocation(c: &mut Criterion) {
    let mut authority = TestAuthority::default();
    let now = authority.start;
    let mut contents = CrlContents {
        number: 1_000,
        this_update: now,
        next_update: now + DAY * 7,
        revoked: revoked(REVOKED, now),
    };
    let known = authority.issuing.sign_crl(&contents).unwrap();
    contents.number += 1;
    let next = authority.issuing.sign_crl(&contents).unwrap();
    let mut trust = authority.trust(now);
    let mut news = TrustBundle::default();
    news.crls.push(known.clone());
    trust.merge(&news, now);
    let listed = *contents.revoked.keys().nth(REVOKED as usize / 2).unwrap();
    let absent = random_serial();
    let mut group = c.benchmark_group(format!("a list of {REVOKED}"));
    group.sample_size(10);
    group.bench_function("build and sign", |b| {
        b.iter(|| authority.issuing.sign_crl(&contents).unwrap());
    });
    group.bench_function("parse", |b| {
        b.iter(|| RevocationList::from_der(next.der()).unwrap());
    });
    group.bench_function("parse, rustls-webpki", |b| {
        b.iter(|| OwnedCertRevocationList::from_der(next.der()).unwrap());
    });
    group.bench_function("parse, verify and take over", |b| {
        b.iter_batched_ref(
            || trust.clone(),
            |trust| {
                let mut news = TrustBundle::default();
                news.crls
                    .push(RevocationList::from_der(next.der()).unwrap());
                assert_eq!(trust.merge(&news, now).crls_updated.len(), 1);
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("look up", |b| {
        b.iter(|| {
            (
                known.lookup(black_box(&listed)),
                known.lookup(black_box(&absent)),
            )
        });
    });
    group.finish();
}

criterion_group!(benches, issue, verify, roster, revocation);
criterion_main!(benches);
