//! Chains of OpenSSL's making, good and bad.

use std::path::Path;
use std::time::Duration;

use swarm_pki::testing::TestAuthority;
use swarm_pki::verify::{ChainCheck, ChainError, VerifiedChain, verify_chain};
use swarm_pki::{Certificate, CrlContents, Revocation, Timestamp, Usage, Validity};
use tempfile::TempDir;

use crate::openssl::openssl;

const DAY: Duration = Duration::from_secs(86_400);

fn check_of(authority: &mut TestAuthority, now: Timestamp) -> ChainCheck {
    let mut check = ChainCheck::default();
    check.roots = vec![authority.root.certificate().clone()];
    check.intermediates = vec![authority.issuing.certificate().clone()];
    check.crls = vec![authority.root_crl(now), authority.crl(now)];
    check
}

#[test]
fn a_node_passes_for_its_names_and_both_purposes() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]).certificate;
    let address = node.identity().addresses[0].to_string();
    let mut check = check_of(&mut authority, now);
    for purpose in [None, Some(Usage::Server), Some(Usage::Client)] {
        for name in [
            "edge1.test.internal",
            "spiffe://testers/node/edge1",
            &address,
        ] {
            check.purpose = purpose;
            check.name = Some(name.parse().unwrap());
            let chain = verify_chain(&node, &check, now).unwrap();
            assert_eq!(chain.path.len(), 3);
            assert!(chain.revocation_checked);
        }
    }
    for name in [
        "edge2.test.internal",
        "spiffe://testers/node/edge2",
        "10.9.9.9",
    ] {
        check.name = Some(name.parse().unwrap());
        assert!(matches!(
            verify_chain(&node, &check, now),
            Err(ChainError::Name(_))
        ));
    }
}

#[test]
fn time_revocation_and_missing_pieces_are_told_apart() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]).certificate;
    let check = check_of(&mut authority, now);
    let result = |check: &ChainCheck, at| verify_chain(&node, check, at);
    assert!(matches!(
        result(&check, now + DAY * 60),
        Err(ChainError::Expired { .. })
    ));
    assert!(matches!(
        result(&check, authority.start - DAY),
        Err(ChainError::NotYetValid { .. })
    ));
    assert!(matches!(
        result(&check, now + DAY * 10),
        Err(ChainError::CrlExpired(_))
    ));
    assert!(matches!(
        result(&ChainCheck::default(), now),
        Err(ChainError::NoRoots)
    ));
    let mut gap = check.clone();
    gap.intermediates.clear();
    assert!(matches!(
        result(&gap, now),
        Err(ChainError::UnknownIssuer { .. })
    ));
    let mut uncovered = check.clone();
    uncovered.crls.remove(0);
    assert!(matches!(result(&uncovered, now), Err(ChainError::NoCrl)));
    let mut unchecked = check.clone();
    unchecked.crls.clear();
    assert!(!result(&unchecked, now).unwrap().revocation_checked);
    let issuing = authority.issuing.certificate().clone();
    assert!(matches!(
        verify_chain(&issuing, &check, now),
        Err(ChainError::IsAuthority(_))
    ));

    // The newest list counts, wherever it stands: webpki alone takes the first.
    let mut revoked = check.clone();
    revoked.crls.push(authority.revoke(&node, now));
    assert!(
        matches!(result(&revoked, now), Err(ChainError::Revoked(who)) if who.contains("edge1"))
    );
    let mut revoked = check.clone();
    let revocation = Revocation {
        at: now,
        reason: Default::default(),
    };
    let contents = CrlContents {
        number: u64::MAX,
        this_update: now,
        next_update: now + DAY,
        revoked: [(issuing.serial(), revocation)].into(),
    };
    revoked
        .crls
        .push(authority.root.sign_crl(&contents).unwrap());
    assert!(
        matches!(result(&revoked, now), Err(ChainError::Revoked(who)) if who.contains("issuing"))
    );
    // A list that a stranger signed under the authority's name.
    let mut forged = check.clone();
    forged.crls[1] = TestAuthority::default().crl(now);
    assert!(matches!(
        result(&forged, now),
        Err(ChainError::NoCrl | ChainError::Crl)
    ));
}

#[test]
fn an_expired_root_ends_the_chain() {
    let mut authority = TestAuthority::default();
    let end = authority.root.certificate().not_after();
    let issuing_end = authority.issuing.certificate().not_after();
    let validity = Validity::starting(authority.start, DAY * 36_500, DAY);
    let node = authority
        .issue_as(&authority.identity("edge1", &[]), validity)
        .certificate;
    let start = authority.start;
    let mut check = check_of(&mut authority, start);
    check.crls.clear();
    assert!(verify_chain(&node, &check, issuing_end).is_ok());
    let late = verify_chain(&node, &check, end + DAY);
    assert!(matches!(late, Err(ChainError::Expired { .. })));
}

const CHAINS: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = test
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[ca0]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
[constrained]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
nameConstraints = critical,permitted;DNS:inside.example
[nosign]
basicConstraints = critical,CA:TRUE
keyUsage = critical,cRLSign
[leaf]
basicConstraints = critical,CA:FALSE
subjectAltName = DNS:a.outside.example
extendedKeyUsage = serverAuth
[agreement]
keyUsage = critical,keyAgreement
subjectAltName = DNS:a.outside.example
[critical]
subjectAltName = DNS:a.outside.example
1.2.3.4 = critical,ASN1:UTF8String:unknown
";

struct Chains<'a> {
    test: &'a str,
    dir: &'a Path,
}

impl Chains<'_> {
    /// Makes `<name>.pem` and `<name>.key`, signed by `issuer` or by itself.
    fn make(&self, name: &str, issuer: Option<&str>, extensions: &str, key: &[&str]) -> Option<()> {
        let (out, key_out) = (format!("{name}.pem"), format!("{name}.key"));
        let subject = format!("/CN={name}");
        let mut arguments = vec![
            "req",
            "-x509",
            "-new",
            "-nodes",
            "-config",
            "chains.cnf",
            "-subj",
            &subject,
            "-days",
            "30",
            "-extensions",
            extensions,
            "-keyout",
            &key_out,
            "-out",
            &out,
        ];
        let by = issuer.map(|issuer| (format!("{issuer}.pem"), format!("{issuer}.key")));
        if let Some((certificate, key)) = &by {
            arguments.extend(["-CA", certificate, "-CAkey", key]);
        }
        arguments.extend(key);
        let (good, said) = openssl(self.test, self.dir, &arguments)?;
        assert!(good, "{name}: {said}");
        Some(())
    }

    fn read(&self, name: &str) -> Certificate {
        let pem = std::fs::read_to_string(self.dir.join(format!("{name}.pem"))).unwrap();
        Certificate::from_pem(&pem).unwrap()
    }

    fn verify(
        &self,
        leaf: &str,
        intermediates: &[&str],
        root: &str,
        purpose: Option<Usage>,
    ) -> Result<VerifiedChain, ChainError> {
        let mut check = ChainCheck::default();
        check.roots = vec![self.read(root)];
        check.intermediates = intermediates.iter().map(|name| self.read(name)).collect();
        check.purpose = purpose;
        let leaf = self.read(leaf);
        verify_chain(&leaf, &check, leaf.not_before() + Duration::from_secs(60))
    }
}

#[test]
fn foreign_chains_are_judged_by_every_check() {
    const TEST: &str = "foreign_chains_are_judged_by_every_check";
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("chains.cnf"), CHAINS).unwrap();
    let chains = Chains {
        test: TEST,
        dir: dir.path(),
    };
    if make_chains(&chains).is_none() {
        return;
    }
    let verify = |leaf, intermediates: &[&str], root, purpose| {
        chains.verify(leaf, intermediates, root, purpose)
    };
    let server = Some(Usage::Server);
    assert!(verify("leaf", &["middle"], "root", server).is_ok());
    assert_eq!(
        verify("rsa-leaf", &[], "rsa-root", server)
            .unwrap()
            .path
            .len(),
        2
    );
    let client = verify("leaf", &["middle"], "root", Some(Usage::Client));
    assert!(
        matches!(client, Err(ChainError::Purpose { .. })),
        "{client:?}"
    );
    let agreement = verify("agreement", &["middle"], "root", server);
    assert!(
        matches!(agreement, Err(ChainError::Purpose { .. })),
        "{agreement:?}"
    );
    let nosign = verify("nosign-leaf", &["nosign"], "root", server);
    assert!(
        matches!(nosign, Err(ChainError::Purpose { .. })),
        "{nosign:?}"
    );
    let names = verify("constrained-leaf", &["constrained"], "root", server);
    assert!(
        matches!(names, Err(ChainError::NameConstraints)),
        "{names:?}"
    );
    let middle = verify("deep-leaf", &["deep", "short"], "root", server);
    assert!(matches!(middle, Err(ChainError::PathLength)), "{middle:?}");
    // The root's own path length, which webpki passes over.
    let top = verify("below-leaf", &["below"], "short-root", server);
    assert!(matches!(top, Err(ChainError::PathLength)), "{top:?}");
    let critical = verify("critical", &["middle"], "root", server);
    assert!(
        matches!(critical, Err(ChainError::CriticalExtension)),
        "{critical:?}"
    );
    let weak = verify("weak", &["middle"], "root", server);
    assert!(matches!(weak, Err(ChainError::WeakKey { .. })), "{weak:?}");
    let curve = verify("curve", &["middle"], "root", server);
    assert!(
        matches!(curve, Err(ChainError::WeakKey { .. })),
        "{curve:?}"
    );
    let weak_root = verify("weak-root-leaf", &[], "weak-root", server);
    assert!(
        matches!(weak_root, Err(ChainError::WeakKey { .. })),
        "{weak_root:?}"
    );
    let sha1 = verify("sha1", &["middle"], "root", server);
    assert!(
        matches!(sha1, Err(ChainError::SignatureAlgorithm)),
        "{sha1:?}"
    );
    let stranger = verify("leaf", &["middle"], "rsa-root", server);
    assert!(
        matches!(stranger, Err(ChainError::UnknownIssuer { .. })),
        "{stranger:?}"
    );
}

fn make_chains(chains: &Chains<'_>) -> Option<()> {
    let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"].as_slice();
    let rsa = ["-newkey", "rsa:2048"].as_slice();
    let weak = ["-newkey", "rsa:1024"].as_slice();
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"].as_slice();
    let sha1 = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-sha1",
    ]
    .as_slice();
    for (name, issuer, extensions, key) in [
        ("root", None, "ca", ec),
        ("middle", Some("root"), "ca0", ec),
        ("leaf", Some("middle"), "leaf", ec),
        ("rsa-root", None, "ca", rsa),
        ("rsa-leaf", Some("rsa-root"), "leaf", rsa),
        ("agreement", Some("middle"), "agreement", ec),
        ("nosign", Some("root"), "nosign", ec),
        ("nosign-leaf", Some("nosign"), "leaf", ec),
        ("constrained", Some("root"), "constrained", ec),
        ("constrained-leaf", Some("constrained"), "leaf", ec),
        ("short", Some("root"), "ca0", ec),
        ("deep", Some("short"), "ca", ec),
        ("deep-leaf", Some("deep"), "leaf", ec),
        ("short-root", None, "ca0", ec),
        ("below", Some("short-root"), "ca", ec),
        ("below-leaf", Some("below"), "leaf", ec),
        ("critical", Some("middle"), "critical", ec),
        ("weak", Some("middle"), "leaf", weak),
        ("curve", Some("middle"), "leaf", curve),
        ("weak-root", None, "ca", weak),
        ("weak-root-leaf", Some("weak-root"), "leaf", ec),
        ("sha1", Some("middle"), "leaf", sha1),
    ] {
        chains.make(name, issuer, extensions, key)?;
    }
    Some(())
}
