//! A small swarm in memory, made with the pure core, and what the shells' tests share.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use swarm_pki::{
    Authority, Certificate, CrlContents, Fingerprint, KeyAlgorithm, NodeCertificate, NodeIdentity,
    PrivateKey, Revocation, RevocationReason, Role, SerialNumber, ServiceIdentity, Signer as _,
    SwarmName, Timestamp, Trust, TrustBundle, Usage, Validity, tls::MeshTls,
};

/// The longest that any wait of a test may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A root, an issuing authority, and a revocation list for each.
pub(crate) struct Swarm {
    name: SwarmName,
    root: Authority,
    issuing: Authority,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    issued: u128,
    crl_number: u64,
    revoked: BTreeMap<SerialNumber, Revocation>,
}

/// A node's chain and key.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) key: Arc<PrivateKey>,
}

impl Node {
    pub(crate) fn certificate(&self) -> NodeCertificate {
        NodeCertificate::try_from(&self.chain[0]).unwrap()
    }

    pub(crate) fn tls(&self, trust: Trust) -> MeshTls {
        MeshTls::new(&self.chain, Arc::clone(&self.key), trust).unwrap()
    }

    /// Writes `<name>.pem` (certificate and intermediates) and `<name>.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let chain: String = self.chain.iter().map(Certificate::to_pem).collect();
        let (certificates, key) = (
            directory.join(format!("{name}.pem")),
            directory.join(format!("{name}.key")),
        );
        std::fs::write(&certificates, chain).unwrap();
        std::fs::write(&key, self.key.to_pem().as_bytes()).unwrap();
        (certificates, key)
    }
}

/// Validity from a day ago until a day from now.
pub(crate) fn current() -> Validity {
    Validity::starting(Timestamp::now(), DAY, DAY)
}

pub(crate) fn role(name: &str) -> Role {
    name.parse().unwrap()
}

impl Swarm {
    pub(crate) fn new() -> Self {
        Self::generation(1, "fleet")
    }

    pub(crate) fn generation(generation: u32, name: &str) -> Self {
        let name: SwarmName = name.parse().unwrap();
        let key = || PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let serial = |n| SerialNumber::from_random([n; 16]);
        let validity = Validity::starting(Timestamp::now(), 10 * DAY, 10 * DAY);
        let root = Authority::create_root(&name, generation, key(), serial(1), validity).unwrap();
        let issuing_key = key();
        let issuing = root
            .issue_authority(
                &name,
                generation,
                issuing_key.public_key(),
                serial(2),
                validity,
            )
            .unwrap();
        let issuing = Authority::new(issuing, issuing_key).unwrap();
        Self {
            name,
            root,
            issuing,
            state: Mutex::default(),
        }
    }

    pub(crate) fn node(&self, id: &str, roles: &[&str]) -> Node {
        self.node_with(id, roles, current(), KeyAlgorithm::P256)
    }

    pub(crate) fn node_with(
        &self,
        id: &str,
        roles: &[&str],
        validity: Validity,
        algorithm: KeyAlgorithm,
    ) -> Node {
        self.issue(id, algorithm, validity, |identity| {
            identity.roles = roles.iter().copied().map(role).collect();
        })
    }

    /// A node whose certificate is for these sides of a connection alone.
    pub(crate) fn node_for(&self, id: &str, usages: &[Usage]) -> Node {
        self.issue(id, KeyAlgorithm::P256, current(), |identity| {
            identity.usages = usages.iter().copied().collect();
        })
    }

    /// A service's chain and key.
    pub(crate) fn service(&self, name: &str, usages: &[Usage]) -> Node {
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let mut identity = ServiceIdentity::new(self.name.clone(), name.parse().unwrap());
        identity.usages = usages.iter().copied().collect();
        identity.dns = vec![format!("{name}.fleet.internal").parse().unwrap()];
        let mut random = [0x41; 16];
        random[8..].copy_from_slice(&Fingerprint::of(name.as_bytes()).0[..8]);
        let serial = SerialNumber::from_random(random);
        let service = self
            .issuing
            .issue_service(key.public_key(), &identity, serial, current())
            .unwrap();
        let issuer = self.issuing.certificate().clone();
        Node {
            chain: vec![service.certificate().clone(), issuer],
            key: Arc::new(key),
        }
    }

    fn issue(
        &self,
        id: &str,
        algorithm: KeyAlgorithm,
        validity: Validity,
        say: impl FnOnce(&mut NodeIdentity),
    ) -> Node {
        let mut state = self.state.lock().unwrap();
        state.issued += 1;
        let mut random = [0x40; 16];
        random[8..].copy_from_slice(&state.issued.to_be_bytes()[8..]);
        let key = PrivateKey::generate(algorithm).unwrap();
        let wireguard: [u8; 32] = Fingerprint::of(&random).0;
        let mut identity = NodeIdentity::new(self.name.clone(), id.parse().unwrap(), wireguard);
        identity.addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        identity.dns = vec![format!("{id}.fleet.internal").parse().unwrap()];
        say(&mut identity);
        let serial = SerialNumber::from_random(random);
        let node = self
            .issuing
            .issue_node(key.public_key(), &identity, serial, validity)
            .unwrap();
        let chain = vec![
            node.certificate().clone(),
            self.issuing.certificate().clone(),
        ];
        Node {
            chain,
            key: Arc::new(key),
        }
    }

    pub(crate) fn root(&self) -> &Certificate {
        self.root.certificate()
    }

    /// Issuing authority and both lists, without nodes.
    pub(crate) fn bundle(&self) -> TrustBundle {
        let mut state = self.state.lock().unwrap();
        state.crl_number += 1;
        let now = Timestamp::now();
        let mut contents = CrlContents {
            number: state.crl_number,
            this_update: now - DAY,
            next_update: now + DAY,
            revoked: BTreeMap::new(),
        };
        let of_root = self.root.sign_crl(&contents).unwrap();
        contents.revoked = state.revoked.clone();
        let of_issuing = self.issuing.sign_crl(&contents).unwrap();
        let mut bundle = TrustBundle::default();
        bundle.roots = vec![self.root().clone()];
        bundle.issuers = vec![self.issuing.certificate().clone()];
        bundle.crls = vec![of_root, of_issuing];
        bundle
    }

    pub(crate) fn trust(&self) -> Trust {
        let mut trust = Trust::new(self.name.clone(), vec![self.root().clone()]).unwrap();
        let changes = trust.merge(&self.bundle(), Timestamp::now());
        assert!(changes.refused.is_empty(), "{:?}", changes.refused);
        trust
    }

    /// Revokes this many certificates that nobody has; returns what carries the news.
    pub(crate) fn revoke_many(&self, count: u64) -> TrustBundle {
        let revocation = Revocation {
            at: Timestamp::now() - DAY,
            reason: RevocationReason::Superseded,
        };
        let serials = (0..count).map(|n| {
            let mut random = [0x7f; 16];
            random[8..].copy_from_slice(&n.to_be_bytes());
            (SerialNumber::from_random(random), revocation)
        });
        self.state.lock().unwrap().revoked.extend(serials);
        self.bundle()
    }

    /// Revokes a node's certificate; returns what carries the news.
    pub(crate) fn revoke(&self, node: &Node) -> TrustBundle {
        let revocation = Revocation {
            at: Timestamp::now() - DAY,
            reason: RevocationReason::KeyCompromise,
        };
        self.state
            .lock()
            .unwrap()
            .revoked
            .insert(node.chain[0].serial(), revocation);
        self.bundle()
    }
}

/// Takes the news into a running handle.
pub(crate) fn learn(tls: &MeshTls, news: &TrustBundle) {
    tls.update_trust(|trust| {
        let changes = trust.merge(news, Timestamp::now());
        if changes.refused.is_empty() {
            Ok(())
        } else {
            Err(changes.refused)
        }
    })
    .unwrap();
}

/// A clock that a test sets.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(now)))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap() = now;
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some((*self.0.lock().unwrap()).into())
    }
}

/// Waits for something that must happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(done) => done,
        Err(_) => panic!("no {what} within {SOON:?}"),
    }
}

/// Finds a program; without it the test is skipped, and fails where `CI` is set.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests say what they skip"
)]
pub(crate) fn program(test: &str, name: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain([tools.join("bin"), tools.join("venv/bin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        assert!(
            env::var_os("CI").is_none(),
            "{test}: {name} is not installed"
        );
        eprintln!("SKIPPED: {test}: {name} is not installed");
    }
    found
}
