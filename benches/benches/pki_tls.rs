//! A full mutual TLS 1.3 handshake in memory, through the mesh's configurations and through bare
//! rustls: the same certificates, suites, key exchange and keys, no tickets on either side.
//!
//! The rival is what one writes with rustls alone: `WebPkiClientVerifier` and the webpki server
//! verifier over the same root, without revocation. Ours checks revocation, identity and role, and
//! names the peer. Before criterion's own figures the three are measured in turns, which a busy
//! machine disturbs alike.
#![allow(clippy::print_stdout, reason = "the ratio is its purpose")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use swarm_pki::tls::{ClientAuth, Expected, MeshTls};
use swarm_pki::{
    Authority, Certificate, CrlContents, KeyAlgorithm, NodeCertificate, NodeIdentity, PrivateKey,
    Role, SerialNumber, Signer as _, Timestamp, Trust, TrustBundle, Validity,
};

const DAY: Duration = Duration::from_secs(86_400);
const ROUNDS: usize = 60;
const IN_A_ROUND: u32 = 20;

struct Node {
    certificate: NodeCertificate,
    chain: Vec<Certificate>,
    key: Arc<PrivateKey>,
}

/// Everything that both sides of the comparison are made from.
struct Swarm {
    root: Authority,
    server: Node,
    client: Node,
    bundle: TrustBundle,
}

impl Swarm {
    fn new() -> Self {
        let now = Timestamp::now();
        let swarm = "fleet".parse().expect("a name");
        let validity = Validity::starting(now, 100 * DAY, DAY);
        let serial = |n| SerialNumber::from_random([n; 16]);
        let key = || PrivateKey::generate(KeyAlgorithm::P256).expect("randomness");
        let root = Authority::create_root(&swarm, 1, key(), serial(1), validity).expect("a root");
        let issuing_key = key();
        let issuing =
            root.issue_authority(&swarm, 1, issuing_key.public_key(), serial(2), validity);
        let issuing = Authority::new(issuing.expect("an authority"), issuing_key).expect("a pair");
        let node = |id: &str, role: Role, n: u8| {
            let key = key();
            let mut identity =
                NodeIdentity::new(swarm.clone(), id.parse().expect("an id"), [n; 32]);
            identity.roles.insert(role);
            identity.dns = vec![format!("{id}.fleet.internal").parse().expect("a name")];
            identity.addresses = vec![[10, 0, 0, n].into()];
            let certificate = issuing.issue_node(key.public_key(), &identity, serial(n), validity);
            let certificate = certificate.expect("a node");
            let issuer = issuing.certificate().clone();
            Node {
                chain: vec![certificate.certificate().clone(), issuer],
                certificate,
                key: Arc::new(key),
            }
        };
        let (server, client) = (node("hub", Role::hub(), 3), node("edge1", Role::edge(), 4));
        let mut bundle = TrustBundle::default();
        bundle.roots = vec![root.certificate().clone()];
        bundle.issuers = vec![issuing.certificate().clone()];
        let crl = CrlContents {
            number: 1,
            this_update: now - DAY,
            next_update: now + DAY,
            revoked: BTreeMap::new(),
        };
        let lists = [&root, &issuing].map(|authority| authority.sign_crl(&crl).expect("a list"));
        bundle.crls = lists.to_vec();
        Self {
            root,
            server,
            client,
            bundle,
        }
    }

    /// The mesh's configurations, with the other node on the roster or not.
    fn mesh(&self, on_roster: bool) -> Pair {
        let mut bundle = self.bundle.clone();
        if on_roster {
            let nodes = [&self.server, &self.client];
            bundle.nodes = nodes
                .map(|node| node.certificate.certificate().clone())
                .to_vec();
        }
        let roots = vec![self.root.certificate().clone()];
        let swarm = self.server.certificate.identity().swarm.clone();
        let mut trust = Trust::new(swarm, roots).expect("a root");
        trust.merge(&bundle, Timestamp::now());
        let tls = |node: &Node| {
            MeshTls::new(&node.chain, Arc::clone(&node.key), trust.clone()).expect("a pair")
        };
        let (server, client) = (tls(&self.server), tls(&self.client));
        Pair {
            server: server.server_config(ClientAuth::Required, &[]),
            client: client.client_config(Expected::Role(Role::hub()), &[]),
            mesh: Some((server, client)),
        }
    }

    fn bare(&self) -> Pair {
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![
                kx_group::X25519MLKEM768,
                kx_group::X25519,
                kx_group::SECP256R1,
            ],
            ..default_provider()
        });
        let mut roots = RootCertStore::empty();
        roots
            .add(self.root.certificate().der().clone())
            .expect("a root");
        let roots = Arc::new(roots);
        let own = |node: &Node| {
            let chain: Vec<_> = node.chain.iter().map(|one| one.der().clone()).collect();
            let key = node.key.to_pkcs8_der().to_vec();
            (chain, PrivateKeyDer::Pkcs8(key.into()))
        };
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .expect("a root");
        let (chain, key) = own(&self.server);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .expect("a pair");
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        let (chain, key) = own(&self.client);
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("a pair");
        client.resumption = rustls::client::Resumption::disabled();
        Pair {
            server: Arc::new(server),
            client: Arc::new(client),
            mesh: None,
        }
    }
}

/// Two ends that accept each other.
struct Pair {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    mesh: Option<(MeshTls, MeshTls)>,
}

impl Pair {
    /// One handshake, until both sides are done and, in the mesh, know whom they talk to.
    fn shake(&self) {
        let name = ServerName::try_from("hub.fleet.internal").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        let mut server = ServerConnection::new(Arc::clone(&self.server)).expect("a server");
        let mut wire = Vec::with_capacity(8192);
        while client.is_handshaking() || server.is_handshaking() {
            wire.clear();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).expect("memory");
            }
            server.process_new_packets().expect("the client is good");
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("memory");
            }
            client.process_new_packets().expect("the server is good");
        }
        if let Some((of_server, of_client)) = &self.mesh {
            black_box(
                of_server
                    .peer(&server)
                    .expect("a client with a certificate"),
            );
            black_box(
                of_client
                    .peer(&client)
                    .expect("a server with a certificate"),
            );
        }
    }
}

/// The median time of a handshake of each, measured in turns.
fn in_turns(pairs: &[(&str, Pair)]) {
    let mut times = vec![Vec::with_capacity(ROUNDS); pairs.len()];
    for round in 0..ROUNDS {
        for at in 0..pairs.len() {
            // Another one first in each round.
            let at = (at + round) % pairs.len();
            let start = Instant::now();
            for _ in 0..IN_A_ROUND {
                pairs[at].1.shake();
            }
            times[at].push(start.elapsed() / IN_A_ROUND);
        }
    }
    let medians = times.iter_mut().map(|times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    });
    let medians: Vec<Duration> = medians.collect();
    for ((name, _), median) in pairs.iter().zip(&medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        println!(
            "{name:<24} {:>7.1} µs   {ratio:.3} of bare rustls",
            median.as_secs_f64() * 1e6
        );
    }
}

fn main() {
    let swarm = Swarm::new();
    let pairs = [
        ("bare rustls", swarm.bare()),
        ("mesh, peer on roster", swarm.mesh(true)),
        ("mesh, peer unknown", swarm.mesh(false)),
    ];
    for (_, pair) in &pairs {
        pair.shake();
    }
    // `cargo test` runs benches once, to see that they work.
    if std::env::args().any(|argument| argument == "--bench") {
        in_turns(&pairs);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("pki_tls");
    for (name, pair) in &pairs {
        group.bench_function(*name, |bencher| bencher.iter(|| pair.shake()));
    }
    group.finish();
    criterion.final_summary();
}
