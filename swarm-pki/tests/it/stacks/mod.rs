//! One matrix of good and bad chains, judged by this crate, OpenSSL, Python's TLS and Go's.
//!
//! `chains.py` makes the matrix with pyca/cryptography; [`own_chains`] adds what this crate issues
//! itself. `python_tls.py` lets Python be the client of a server with each chain, `go_tls.py`
//! lets nats-server, which is Go, be the server of a client with each.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use swarm_pki::verify::{ChainCheck, SubjectName, verify_chain};
use swarm_pki::{
    Authority, Certificate, CrlContents, KeyAlgorithm, NodeIdentity, PrivateKey, Revocation,
    RevocationList, RevocationReason, SerialNumber, Signer as _, SwarmName, Timestamp, Trust,
    TrustBundle, Usage, Validity,
};
use test_port::Port;

use crate::fixture::program;

const CHAINS: &str = include_str!("chains.py");
const PYTHON_TLS: &str = include_str!("python_tls.py");
const GO_TLS: &str = include_str!("go_tls.py");
const NAME: &str = "good.inside.example";
const DAY: Duration = Duration::from_secs(86_400);

/// A chain in a folder of its own, and what is to become of it.
struct Case {
    name: String,
    folder: PathBuf,
    /// A server with it is accepted: purpose, name and lists are checked.
    tls: bool,
    /// A client with it is accepted where no lists are known and no name is asked for.
    go: bool,
}

impl Case {
    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn certificates(&self, file: &str) -> Vec<Certificate> {
        Certificate::from_pem_chain(&self.read(file)).unwrap()
    }

    fn leaf(&self) -> Certificate {
        Certificate::from_pem(&self.read("leaf.pem")).unwrap()
    }

    /// The lists, one PEM block each; what cannot be read stays out, as a reader would leave it out.
    fn lists(&self) -> Vec<RevocationList> {
        let text = self.read("lists.pem");
        let blocks = text.split_inclusive("-----END X509 CRL-----\n");
        blocks
            .filter_map(|block| RevocationList::from_pem(block).ok())
            .collect()
    }

    fn check(&self) -> ChainCheck {
        let mut check = ChainCheck::default();
        check.roots = self.certificates("root.pem");
        check.intermediates = self.certificates("intermediates.pem");
        check
    }

    /// This crate's verdict on a server.
    fn judge_server(&self, now: Timestamp) -> Result<(), String> {
        let mut check = self.check();
        check.crls = self.lists();
        check.purpose = Some(Usage::Server);
        check.name = Some(SubjectName::Dns(NAME.into()));
        verify_chain(&self.leaf(), &check, now)
            .map(drop)
            .map_err(|fault| fault.to_string())
    }

    /// This crate's verdict on a client, without lists.
    fn judge_client(&self, now: Timestamp) -> Result<(), String> {
        let mut check = self.check();
        check.purpose = Some(Usage::Client);
        verify_chain(&self.leaf(), &check, now)
            .map(drop)
            .map_err(|fault| fault.to_string())
    }

    fn openssl(&self, now: Timestamp) -> bool {
        let at = now.as_unix().to_string();
        let output = Command::new("openssl")
            .args([
                "verify",
                "-crl_check_all",
                "-auth_level",
                "2",
                "-attime",
                &at,
            ])
            .args(["-purpose", "sslserver", "-verify_hostname", NAME])
            .args(["-CAfile", "root.pem", "-untrusted", "intermediates.pem"])
            .args(["-CRLfile", "lists.pem", "leaf.pem"])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        output.status.success()
    }
}

/// Runs a script that answers each folder with a line.
fn ask(python: &Path, script: &str, argument: &str, cases: &[Case]) -> Vec<bool> {
    let mut child = Command::new(python)
        .args(["-c", script, argument])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let folders: Vec<String> = cases
        .iter()
        .map(|case| case.folder.to_str().unwrap().to_owned())
        .collect();
    // As much as the pipe takes: the script reads on while it answers.
    let feeder =
        std::thread::spawn(move || stdin.write_all((folders.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "the script broke off");
    let answers: Vec<bool> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            answer["accepted"].as_bool().unwrap()
        })
        .collect();
    assert_eq!(answers.len(), cases.len(), "an answer for each chain");
    answers
}

fn foreign_chains(python: &Path, directory: &Path, now: Timestamp) -> Vec<Case> {
    let output = Command::new(python)
        .args(["-c", CHAINS, directory.to_str().unwrap()])
        .arg(now.as_unix().to_string())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the chains were not made");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let case: Value = serde_json::from_str(line).unwrap();
            let name = case["case"].as_str().unwrap().to_owned();
            Case {
                folder: directory.join(&name),
                name,
                tls: case["tls"].as_bool().unwrap(),
                go: case["go"].as_bool().unwrap(),
            }
        })
        .collect()
}

/// What is done to a chain of this crate's own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Good,
    Expired,
    NotYetValid,
    LeafRevoked,
    IssuingRevoked,
    Stranger,
}

/// Issues, revokes and dates chains with this crate; the trust is what its own nodes would have.
fn own_chains(directory: &Path, now: Timestamp) -> Vec<(Case, Trust)> {
    let fates = [
        Fate::Good,
        Fate::Expired,
        Fate::NotYetValid,
        Fate::LeafRevoked,
        Fate::IssuingRevoked,
        Fate::Stranger,
    ];
    let algorithms = [KeyAlgorithm::P256, KeyAlgorithm::Ed25519];
    let every = algorithms
        .into_iter()
        .flat_map(|algorithm| fates.map(|fate| (algorithm, fate)));
    every
        .map(|(algorithm, fate)| own_chain(directory, now, algorithm, fate))
        .collect()
}

fn own_chain(
    directory: &Path,
    now: Timestamp,
    algorithm: KeyAlgorithm,
    fate: Fate,
) -> (Case, Trust) {
    let swarm: SwarmName = "fleet".parse().unwrap();
    let serial = |n| SerialNumber::from_random([n; 16]);
    let key = || PrivateKey::generate(algorithm).unwrap();
    let long = Validity::starting(now, 100 * DAY, 100 * DAY);
    let root = |n| Authority::create_root(&swarm, 1, key(), serial(n), long).unwrap();
    let (own, strange) = (root(1), root(2));
    let issuing_key = key();
    let issuing = own
        .issue_authority(&swarm, 1, issuing_key.public_key(), serial(3), long)
        .unwrap();
    let issuing = Authority::new(issuing, issuing_key).unwrap();
    let validity = match fate {
        Fate::Expired => Validity::starting(now - 9 * DAY, 8 * DAY, DAY),
        Fate::NotYetValid => Validity::starting(now + 2 * DAY, 8 * DAY, DAY),
        _ => Validity::starting(now, 8 * DAY, DAY),
    };
    let mut identity = NodeIdentity::new(swarm.clone(), "edge1".parse().unwrap(), [7; 32]);
    identity.dns = vec![NAME.parse().unwrap()];
    let node_key = PrivateKey::generate(algorithm).unwrap();
    let node = issuing
        .issue_node(node_key.public_key(), &identity, serial(4), validity)
        .unwrap();
    let list = |authority: &Authority, revoked: Option<SerialNumber>| {
        let revocation = Revocation {
            at: now,
            reason: RevocationReason::KeyCompromise,
        };
        let contents = CrlContents {
            number: 1,
            this_update: now - DAY,
            next_update: now + DAY,
            revoked: revoked
                .map(|serial| (serial, revocation))
                .into_iter()
                .collect(),
        };
        authority.sign_crl(&contents).unwrap()
    };
    let of_issuing = (fate == Fate::LeafRevoked).then(|| node.serial());
    let of_root = (fate == Fate::IssuingRevoked).then(|| issuing.certificate().serial());
    let mut bundle = TrustBundle::default();
    bundle.issuers.push(issuing.certificate().clone());
    bundle.crls = vec![list(&own, of_root), list(&issuing, of_issuing)];
    let pinned = if fate == Fate::Stranger {
        &strange
    } else {
        &own
    };
    let mut trust = Trust::new(swarm.clone(), vec![pinned.certificate().clone()]).unwrap();
    trust.merge(&bundle, now);

    let name = format!("own-{fate:?}-{algorithm}");
    let folder = directory.join(&name);
    std::fs::create_dir(&folder).unwrap();
    let write = |file: &str, pem: &str| std::fs::write(folder.join(file), pem).unwrap();
    let issuing_pem = issuing.certificate().to_pem();
    write("root.pem", &pinned.certificate().to_pem());
    write("intermediates.pem", &issuing_pem);
    write("leaf.pem", &node.to_pem());
    write("chain.pem", &(node.to_pem() + &issuing_pem));
    write("key.pem", &node_key.to_pem());
    let lists: String = bundle.crls.iter().map(RevocationList::to_pem).collect();
    write("lists.pem", &lists);
    let good = fate == Fate::Good;
    let case = Case {
        name,
        folder,
        tls: good,
        go: good || matches!(fate, Fate::LeafRevoked | Fate::IssuingRevoked),
    };
    (case, trust)
}

/// A nats-server that asks for certificates below any of the cases' roots; ended when dropped.
struct GoServer {
    child: Child,
    port: Port,
}

impl GoServer {
    fn start(program: &Path, directory: &Path, cases: &[Case]) -> Self {
        let roots: String = cases.iter().map(|case| case.read("root.pem")).collect();
        std::fs::write(directory.join("roots.pem"), roots).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
        std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
        let port = Port::free();
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\ntls {{ cert_file: \"server.pem\", key_file: \
             \"server.key\", ca_file: \"roots.pem\", verify: true, timeout: 10 }}\n"
        );
        std::fs::write(directory.join("nats.conf"), config).unwrap();
        let child = Command::new(program)
            .args(["-c", "nats.conf"])
            .current_dir(directory)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        for _ in 0..1200 {
            if TcpStream::connect(("127.0.0.1", server.port.number())).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nats-server does not listen");
    }
}

impl Drop for GoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects what is not as it should be, so that one run tells of all.
#[derive(Default)]
struct Disagreements(BTreeMap<String, Vec<String>>);

impl Disagreements {
    fn expect(&mut self, case: &Case, who: &str, wanted: bool, said: bool, why: &str) {
        if wanted != said {
            let line = format!("{who} said {said} instead of {wanted} {why}");
            self.0.entry(case.name.clone()).or_default().push(line);
        }
    }
}

/// The Python that has pyca/cryptography.
fn python(test: &str) -> Option<PathBuf> {
    program(test, "lint_pkix_cert").map(|linter| linter.with_file_name("python3"))
}

#[test]
fn four_implementations_judge_every_chain_alike() {
    let test = "four_implementations_judge_every_chain_alike";
    let (Some(python), Some(nats), Some(_)) = (
        python(test),
        program(test, "nats-server"),
        program(test, "openssl"),
    ) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let mut disagreements = Disagreements::default();
    let mut cases = foreign_chains(&python, directory.path(), now);
    assert!(cases.len() > 250, "{}", cases.len());
    for (case, trust) in own_chains(directory.path(), now) {
        let chain: Vec<_> = case.certificates("chain.pem");
        let chain: Vec<_> = chain.iter().map(|one| one.der().clone()).collect();
        let verdict = trust.verify(&chain, now);
        let why = format!("{verdict:?}");
        disagreements.expect(&case, "Trust::verify", case.tls, verdict.is_ok(), &why);
        cases.push(case);
    }
    let good = cases.iter().filter(|case| case.tls).count();
    assert!(good >= 30, "{good} good chains");

    let server = GoServer::start(&nats, directory.path(), &cases);
    let go = ask(&python, GO_TLS, &server.port.to_string(), &cases);
    drop(server);
    let tls = ask(&python, PYTHON_TLS, NAME, &cases);
    for ((case, go), tls) in cases.iter().zip(go).zip(tls) {
        let verdict = case.judge_server(now);
        let why = verdict.clone().err().unwrap_or_default();
        disagreements.expect(case, "verify_chain", case.tls, verdict.is_ok(), &why);
        disagreements.expect(case, "openssl", case.tls, case.openssl(now), "");
        disagreements.expect(case, "Python", case.tls, tls, "");
        disagreements.expect(case, "Go", case.go, go, "");
        // Go takes RSA keys of 1024 bits; this crate does not.
        let wanted = case.go && !case.name.starts_with("weak-key");
        let verdict = case.judge_client(now);
        let why = verdict.clone().err().unwrap_or_default();
        disagreements.expect(
            case,
            "verify_chain without lists",
            wanted,
            verdict.is_ok(),
            &why,
        );
    }
    assert!(disagreements.0.is_empty(), "{:#?}", disagreements.0);
}
