//! What this crate writes, judged by pkilint (RFC 5280 and its successors).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use swarm_pki::testing::TestAuthority;
use swarm_pki::{CrlContents, KeyAlgorithm, Revocation, RevocationReason, SerialNumber};

use crate::fixture::program;

const LINT: &str = include_str!("lint.py");
const DAY: Duration = Duration::from_secs(86_400);

/// What pkilint says that is no fault.
fn is_no_fault(finding: &Value) -> bool {
    let code = finding["code"].as_str().unwrap();
    match finding["severity"].as_str().unwrap() {
        // It tells by which method the subject key identifier was made.
        "INFO" => code == "pkix.subject_key_identifier_rfc7093_method_1_identified",
        // pkilint knows a list of URI schemes, to which SPIFFE's does not belong. The URI itself is
        // held against RFC 3986 by Python's own parser, see the test below.
        "ERROR" => {
            code == "pkix.invalid_uri_syntax"
                && finding["message"].as_str().is_some_and(|message| {
                    message.starts_with("Invalid URI syntax: \"spiffe://testers/")
                })
        }
        _ => false,
    }
}

/// Finds the Python that has pkilint.
fn python(test: &str) -> Option<PathBuf> {
    program(test, "lint_pkix_cert").map(|linter| linter.with_file_name("python3"))
}

/// Lints files, each named with what it is; returns every finding with its file.
fn lint(python: &Path, directory: &Path, files: &[String]) -> Vec<(String, Value)> {
    let mut child = Command::new(python)
        .args(["-c", LINT])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(files.join("\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "pkilint broke off");
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), files.len(), "an answer for each file");
    let mut findings = Vec::new();
    for (file, answer) in files.iter().zip(answers) {
        let results = answer["findings"].as_array();
        let results = results.unwrap_or_else(|| panic!("{file}: {}", answer["complaints"]));
        for result in results {
            for finding in result["finding_descriptions"].as_array().unwrap() {
                findings.push((file.clone(), finding.clone()));
            }
        }
    }
    findings
}

fn write(directory: &Path, name: &str, pem: &str) {
    std::fs::write(directory.join(name), pem).unwrap();
}

/// Writes everything that an authority makes, and says what each file is.
fn write_all(directory: &Path, algorithm: KeyAlgorithm) -> Vec<String> {
    let mut authority = TestAuthority::with_algorithm("testers", algorithm);
    let now = authority.start + DAY;
    let prefix = algorithm.to_string().to_lowercase();
    let name = |what: &str| format!("{prefix}-{what}");
    write(
        directory,
        &name("root.pem"),
        &authority.root.certificate().to_pem(),
    );
    let issuing = authority.issuing.certificate().to_pem();
    write(directory, &name("issuing.pem"), &issuing);
    let mut files = vec![
        format!("certificate {}", name("root.pem")),
        format!("certificate {}", name("issuing.pem")),
        format!("pair {} {}", name("root.pem"), name("issuing.pem")),
    ];
    for (node, roles) in [
        ("edge1", [].as_slice()),
        ("hub1", &["edge", "hub", "relay"]),
    ] {
        let file = name(&format!("{node}.pem"));
        let node = authority.issue(node, roles);
        write(directory, &file, &node.certificate.to_pem());
        files.push(format!("certificate {file}"));
        files.push(format!("pair {} {file}", name("issuing.pem")));
    }
    let list = |revoked| CrlContents {
        number: now.as_unix(),
        this_update: now,
        next_update: now + 7 * DAY,
        revoked,
    };
    let every_reason = [
        RevocationReason::Unspecified,
        RevocationReason::KeyCompromise,
        RevocationReason::CaCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn,
    ];
    let revoked = (1_u8..).zip(every_reason).map(|(n, reason)| {
        (
            SerialNumber::from_random([n; 16]),
            Revocation { at: now, reason },
        )
    });
    for (file, signer, contents) in [
        ("root.crl", &authority.root, list(Default::default())),
        ("empty.crl", &authority.issuing, list(Default::default())),
        ("issuing.crl", &authority.issuing, list(revoked.collect())),
    ] {
        write(
            directory,
            &name(file),
            &signer.sign_crl(&contents).unwrap().to_pem(),
        );
        files.push(format!("list {}", name(file)));
    }
    files
}

#[test]
fn pkilint_finds_nothing_in_certificates_lists_and_chains() {
    let test = "pkilint_finds_nothing_in_certificates_lists_and_chains";
    let Some(python) = python(test) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut files = write_all(directory.path(), KeyAlgorithm::P256);
    files.extend(write_all(directory.path(), KeyAlgorithm::Ed25519));
    let findings = lint(&python, directory.path(), &files);
    let faults: Vec<_> = findings
        .iter()
        .filter(|(_, finding)| !is_no_fault(finding))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // It did look: each of the eight certificates has a key identifier to tell of.
    let told = |(_, finding): &&(String, Value)| finding["severity"] == "INFO";
    assert_eq!(findings.iter().filter(told).count(), 8);
}

#[test]
fn pkilint_is_no_linter_that_finds_nothing_anywhere() {
    let test = "pkilint_is_no_linter_that_finds_nothing_anywhere";
    let Some(python) = python(test) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut bare = rcgen::CertificateParams::new(["edge1.test.internal".to_owned()]).unwrap();
    bare.is_ca = rcgen::IsCa::NoCa;
    let key = rcgen::KeyPair::generate().unwrap();
    let bare = bare.self_signed(&key).unwrap();
    write(directory.path(), "bare.pem", &bare.pem());
    let findings = lint(&python, directory.path(), &["certificate bare.pem".into()]);
    assert!(findings.iter().any(|(_, finding)| !is_no_fault(finding)));
}

#[test]
fn the_uris_of_nodes_are_uris() {
    let Some(python) = program("the_uris_of_nodes_are_uris", "python3") else {
        return;
    };
    let mut authority = TestAuthority::default();
    let node = authority.issue("edge1", &[]);
    let uri = node.certificate.identity().spiffe_id().to_string();
    let split =
        "import sys, urllib.parse as p; print(*p.urlsplit(sys.argv[1], allow_fragments=True))";
    let output = Command::new(python)
        .args(["-c", split, &uri])
        .output()
        .unwrap();
    let parts = String::from_utf8(output.stdout).unwrap();
    assert_eq!(parts.trim_end(), "spiffe testers /node/edge1");
}
