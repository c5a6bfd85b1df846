//! What this crate writes, read by OpenSSL, and the other way round.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use swarm_pki::testing::TestAuthority;
use swarm_pki::{
    CertificateRequest, KeyAlgorithm, PrivateKey, RequestError, Signer, Timestamp, Validity,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// Runs OpenSSL in `dir` and returns whether it was content, and all it said; `None` without one.
pub(crate) fn openssl(test: &str, dir: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let output = match Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
    {
        Ok(output) => output,
        Err(fault) => {
            assert!(std::env::var_os("CI").is_none(), "no openssl: {fault}");
            #[allow(clippy::print_stderr, reason = "a skip says so")]
            {
                eprintln!("SKIPPED: {test}: no openssl: {fault}");
            }
            return None;
        }
    };
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), said))
}

fn write(dir: &TempDir, name: &str, content: &str) {
    std::fs::write(dir.path().join(name), content).unwrap();
}

/// Writes a swarm's authorities and lists as OpenSSL wants them.
fn write_authority(dir: &TempDir, authority: &mut TestAuthority, at: Timestamp) {
    write(dir, "root.pem", &authority.root.certificate().to_pem());
    write(
        dir,
        "issuing.pem",
        &authority.issuing.certificate().to_pem(),
    );
    let lists = authority.root_crl(at).to_pem() + &authority.crl(at).to_pem();
    write(dir, "lists.pem", &lists);
    write(dir, "issuing.crl", &authority.crl(at).to_pem());
    write(dir, "root.crl", &authority.root_crl(at).to_pem());
}

fn verify(test: &str, dir: &TempDir, leaf: &str, at: Timestamp) -> Option<(bool, String)> {
    let at = at.as_unix().to_string();
    let arguments = [
        "verify",
        "-x509_strict",
        "-crl_check_all",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "issuing.pem",
        "-CRLfile",
        "lists.pem",
        "-attime",
        &at,
        leaf,
    ];
    openssl(test, dir.path(), &arguments)
}

#[test]
fn openssl_accepts_every_kind_of_certificate_and_list() {
    const TEST: &str = "openssl_accepts_every_kind_of_certificate_and_list";
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
        let dir = TempDir::new().unwrap();
        let mut authority = TestAuthority::with_algorithm("testers", algorithm);
        let now = authority.start + DAY;
        let node = authority.issue("edge1", &["edge", "hub"]);
        write(&dir, "node.pem", &node.certificate.to_pem());
        write_authority(&dir, &mut authority, now);
        for leaf in ["node.pem", "issuing.pem"] {
            let Some((good, said)) = verify(TEST, &dir, leaf, now) else {
                return;
            };
            assert!(good, "{algorithm} {leaf}: {said}");
        }
        for purpose in ["sslserver", "sslclient"] {
            let arguments = [
                "verify",
                "-no_check_time",
                "-purpose",
                purpose,
                "-verify_hostname",
                "edge1.test.internal",
                "-CAfile",
                "root.pem",
                "-untrusted",
                "issuing.pem",
                "node.pem",
            ];
            let Some((good, said)) = openssl(TEST, dir.path(), &arguments) else {
                return;
            };
            assert!(good, "{algorithm} {purpose}: {said}");
        }
        for (list, issuer) in [("issuing.crl", "issuing.pem"), ("root.crl", "root.pem")] {
            let arguments = ["crl", "-in", list, "-CAfile", issuer, "-noout"];
            let Some((good, said)) = openssl(TEST, dir.path(), &arguments) else {
                return;
            };
            assert!(
                good && said.contains("verify OK"),
                "{algorithm} {list}: {said}"
            );
        }
        let arguments = ["x509", "-in", "node.pem", "-noout", "-text", "-serial"];
        let Some((_, text)) = openssl(TEST, dir.path(), &arguments) else {
            return;
        };
        for part in [
            "URI:spiffe://testers/node/edge1",
            "DNS:edge1.test.internal",
            "IP Address:10.",
            "2.25.1398231629",
            "TLS Web Server Authentication, TLS Web Client Authentication",
            "CA:FALSE",
            "O = testers, CN = edge1",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let serial = node.certificate.serial().to_string().to_uppercase();
        assert!(text.contains(&format!("serial={serial}")));
    }
}

#[test]
fn openssl_refuses_the_revoked_the_expired_and_the_strange() {
    const TEST: &str = "openssl_refuses_the_revoked_the_expired_and_the_strange";
    let dir = TempDir::new().unwrap();
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let good = authority.issue("edge1", &[]);
    let bad = authority.issue("edge2", &[]);
    authority.revoke(&bad.certificate, now);
    let strange = TestAuthority::default().issue("edge3", &[]);
    write(&dir, "good.pem", &good.certificate.to_pem());
    write(&dir, "bad.pem", &bad.certificate.to_pem());
    write(&dir, "strange.pem", &strange.certificate.to_pem());
    write_authority(&dir, &mut authority, now);
    let Some((fine, said)) = verify(TEST, &dir, "good.pem", now) else {
        return;
    };
    assert!(fine, "{said}");
    let cases = [
        ("bad.pem", now, "certificate revoked"),
        ("good.pem", now + 60 * DAY, "has expired"),
        ("good.pem", authority.start - 2 * DAY, "not yet valid"),
        ("strange.pem", now, "unable to get"),
    ];
    for (leaf, at, complaint) in cases {
        let Some((fine, said)) = verify(TEST, &dir, leaf, at) else {
            return;
        };
        assert!(!fine && said.contains(complaint), "{leaf} at {at}: {said}");
    }
    // A revoked issuing authority takes its nodes with it.
    let revocation = swarm_pki::Revocation {
        at: now,
        reason: swarm_pki::RevocationReason::CaCompromise,
    };
    let list = authority.root.sign_crl(&swarm_pki::CrlContents {
        number: u64::MAX,
        this_update: now,
        next_update: now + DAY,
        revoked: [(authority.issuing.certificate().serial(), revocation)].into(),
    });
    write(
        &dir,
        "lists.pem",
        &(list.unwrap().to_pem() + &authority.crl(now).to_pem()),
    );
    let Some((fine, said)) = verify(TEST, &dir, "good.pem", now) else {
        return;
    };
    assert!(!fine && said.contains("certificate revoked"), "{said}");
}

#[test]
fn keys_go_both_ways_plain_and_encrypted() {
    const TEST: &str = "keys_go_both_ways_plain_and_encrypted";
    let dir = TempDir::new().unwrap();
    write(&dir, "pass", "correct horse\n");
    for (algorithm, generate) in [
        (
            KeyAlgorithm::P256,
            ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"].as_slice(),
        ),
        (KeyAlgorithm::Ed25519, ["-algorithm", "ED25519"].as_slice()),
    ] {
        let ours = PrivateKey::generate(algorithm).unwrap();
        write(&dir, "plain.pem", &ours.to_pem());
        write(
            &dir,
            "sealed.pem",
            &ours.to_encrypted_pem(b"correct horse", [9; 32]).unwrap(),
        );
        for file in ["plain.pem", "sealed.pem"] {
            let arguments = [
                "pkey",
                "-in",
                file,
                "-passin",
                "file:pass",
                "-pubout",
                "-outform",
                "DER",
                "-out",
                "pub.der",
            ];
            let Some((good, said)) = openssl(TEST, dir.path(), &arguments) else {
                return;
            };
            assert!(good, "{algorithm} {file}: {said}");
            let public = std::fs::read(dir.path().join("pub.der")).unwrap();
            assert_eq!(public, ours.public_key().spki_der());
        }
        let mut arguments = vec!["genpkey", "-out", "theirs.pem"];
        arguments.extend(generate);
        openssl(TEST, dir.path(), &arguments).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let theirs = PrivateKey::from_pem(&read("theirs.pem")).unwrap();
        for kdf in [
            ["-v2", "aes-256-cbc"].as_slice(),
            ["-scrypt", "-scrypt_N", "1024"].as_slice(),
        ] {
            let mut arguments = vec![
                "pkcs8",
                "-topk8",
                "-in",
                "theirs.pem",
                "-out",
                "out.pem",
                "-passout",
                "file:pass",
            ];
            arguments.extend(kdf);
            let (good, said) = openssl(TEST, dir.path(), &arguments).unwrap();
            assert!(good, "{said}");
            let opened =
                PrivateKey::from_encrypted_pem(&read("out.pem"), b"correct horse").unwrap();
            assert_eq!(opened.public_key(), theirs.public_key());
        }
    }
    for (name, generate) in [
        (
            "rsa",
            ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"].as_slice(),
        ),
        (
            "p384",
            ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"].as_slice(),
        ),
    ] {
        let mut arguments = vec!["genpkey", "-out", "other.pem"];
        arguments.extend(generate);
        openssl(TEST, dir.path(), &arguments).unwrap();
        let pem = std::fs::read_to_string(dir.path().join("other.pem")).unwrap();
        let refused = PrivateKey::from_pem(&pem);
        let unsupported = matches!(refused, Err(swarm_pki::KeyError::UnsupportedAlgorithm(_)));
        assert!(unsupported, "{name}: {refused:?}");
    }
}

#[test]
fn openssl_verifies_our_requests() {
    const TEST: &str = "openssl_verifies_our_requests";
    let dir = TempDir::new().unwrap();
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
        let key = PrivateKey::generate(algorithm).unwrap();
        let (swarm, id) = ("testers".parse().unwrap(), "edge1".parse().unwrap());
        let request = CertificateRequest::build(&key, &swarm, &id, [7; 32]).unwrap();
        write(&dir, "request.pem", &request.to_pem());
        let arguments = ["req", "-in", "request.pem", "-verify", "-noout", "-text"];
        let Some((good, said)) = openssl(TEST, dir.path(), &arguments) else {
            return;
        };
        assert!(good && said.contains("verify OK"), "{said}");
        assert!(said.contains("spiffe://testers/node/edge1"), "{said}");
    }
}

const GREEDY_REQUEST: &str = "
[req]
distinguished_name = name
req_extensions = wishes
prompt = no
[name]
CN = admin
[wishes]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
extendedKeyUsage = codeSigning
subjectAltName = URI:spiffe://testers/node/hub1,DNS:hub1.test.internal,email:root@example.com
2.25.1398231629 = DER:3027020101042007070707070707070707070707070707070707070707070707070707070707073000
";

#[test]
fn what_a_request_wishes_for_is_not_granted() {
    const TEST: &str = "what_a_request_wishes_for_is_not_granted";
    let dir = TempDir::new().unwrap();
    write(&dir, "request.cnf", GREEDY_REQUEST);
    let arguments = [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "key.pem",
        "-config",
        "request.cnf",
        "-out",
        "request.pem",
    ];
    let Some((good, said)) = openssl(TEST, dir.path(), &arguments) else {
        return;
    };
    assert!(good, "{said}");
    let pem = std::fs::read_to_string(dir.path().join("request.pem")).unwrap();
    let request = CertificateRequest::from_pem(&pem).unwrap();
    assert_eq!(
        request.claimed_node().unwrap().to_string(),
        "spiffe://testers/node/hub1"
    );
    assert_eq!(request.wireguard_public_key(), [7; 32]);

    let authority = TestAuthority::default();
    let mut identity = authority.identity("edge1", &["edge"]);
    identity.wireguard_public_key = request.wireguard_public_key();
    let validity = Validity::starting(authority.start, DAY, DAY);
    let serial = swarm_pki::SerialNumber::from_random([1; 16]);
    let node = authority
        .issuing
        .issue_node(request.public_key(), &identity, serial, validity)
        .unwrap();
    assert_eq!(*node.identity(), identity);
    assert!(!node.is_authority());
    write(&dir, "node.pem", &node.to_pem());
    let (_, text) = openssl(
        TEST,
        dir.path(),
        &["x509", "-in", "node.pem", "-noout", "-text"],
    )
    .unwrap();
    for wish in [
        "hub1",
        "admin",
        "example.com",
        "Code Signing",
        "CA:TRUE",
        "Certificate Sign",
    ] {
        assert!(!text.contains(wish), "{wish} was granted: {text}");
    }
}

#[test]
fn a_request_is_refused_unless_it_is_exact_and_proves_its_key() {
    const TEST: &str = "a_request_is_refused_unless_it_is_exact_and_proves_its_key";
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let (swarm, id) = ("testers".parse().unwrap(), "edge1".parse().unwrap());
    let request = CertificateRequest::build(&key, &swarm, &id, [7; 32]).unwrap();
    let der = request.der().to_vec();
    assert!(CertificateRequest::from_der(&der).is_ok());
    let mut trailing = der.clone();
    trailing.push(0);
    assert!(matches!(
        CertificateRequest::from_der(&trailing),
        Err(RequestError::Malformed)
    ));
    let mut forged = der.clone();
    let place = der.windows(32).position(|w| w == [7; 32]).unwrap();
    forged[place] ^= 1;
    assert!(matches!(
        CertificateRequest::from_der(&forged),
        Err(RequestError::ProofOfPossession)
    ));
    let long = vec![0; swarm_pki::MAX_REQUEST_BYTES + 1];
    assert!(matches!(
        CertificateRequest::from_der(&long),
        Err(RequestError::TooLong(_))
    ));

    // Other key algorithms are refused by the key itself, not by the signature's name.
    let dir = TempDir::new().unwrap();
    write(&dir, "request.cnf", GREEDY_REQUEST);
    for generate in [
        ["-newkey", "rsa:2048"].as_slice(),
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"].as_slice(),
    ] {
        let mut arguments = vec![
            "req",
            "-new",
            "-nodes",
            "-keyout",
            "k.pem",
            "-config",
            "request.cnf",
            "-out",
            "r.pem",
        ];
        arguments.extend(generate);
        let Some((good, said)) = openssl(TEST, dir.path(), &arguments) else {
            return;
        };
        assert!(good, "{said}");
        let pem = std::fs::read_to_string(dir.path().join("r.pem")).unwrap();
        assert!(matches!(
            CertificateRequest::from_pem(&pem),
            Err(RequestError::Key(_))
        ));
    }
}
