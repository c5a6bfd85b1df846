//! A whole authority in memory, with a time of its own choosing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    Authority, Certificate, CertificateRequest, CrlContents, KeyAlgorithm, Lifetimes,
    NodeCertificate, NodeIdentity, PrivateKey, Revocation, RevocationList, RevocationReason, Role,
    SerialNumber, Signer, SwarmName, Timestamp, Trust, TrustBundle, Validity,
};

/// A root, an issuing authority, and what they issued and revoked.
#[derive(Debug)]
pub struct TestAuthority {
    /// The swarm.
    pub swarm: SwarmName,
    /// The root.
    pub root: Authority,
    /// The issuing authority.
    pub issuing: Authority,
    /// When everything begins: 2026-01-01, a day before which nothing is valid.
    pub start: Timestamp,
    issued: Vec<NodeCertificate>,
    revoked: BTreeMap<SerialNumber, Revocation>,
    serials: u64,
    crls: u64,
}

/// A node of a [`TestAuthority`], with its private key.
#[derive(Clone, Debug)]
pub struct TestNode {
    /// The certificate.
    pub certificate: NodeCertificate,
    /// The private key.
    pub key: Arc<PrivateKey>,
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new("testers")
    }
}

impl TestAuthority {
    /// Makes an authority with P-256 keys for a swarm of this name.
    ///
    /// # Panics
    /// The name is none, or the system gives no randomness.
    pub fn new(swarm: &str) -> Self {
        Self::with_algorithm(swarm, KeyAlgorithm::P256)
    }

    /// Makes an authority with keys of this algorithm.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_algorithm(swarm: &str, algorithm: KeyAlgorithm) -> Self {
        let swarm: SwarmName = swarm.parse().expect("a swarm name");
        let start = Timestamp::from_unix(1_767_225_600);
        let lifetimes = Lifetimes::default();
        let day = Duration::from_secs(86_400);
        let key = || PrivateKey::generate(algorithm).expect("randomness");
        let validity = Validity::starting(start, lifetimes.root, day);
        let root = Authority::create_root(&swarm, 1, key(), serial(1), validity)
            .expect("a root of plain values");
        let issuing_key = key();
        let validity = Validity::starting(start, lifetimes.issuing, day);
        let certificate = root
            .issue_authority(&swarm, 1, issuing_key.public_key(), serial(2), validity)
            .expect("an authority of plain values");
        let issuing = Authority::new(certificate, issuing_key).expect("they belong together");
        Self {
            swarm,
            root,
            issuing,
            start,
            issued: Vec::new(),
            revoked: BTreeMap::new(),
            serials: 2,
            crls: 0,
        }
    }

    /// Makes an identity with a WireGuard key, an address and the DNS name `<id>.test.internal`
    /// of its own.
    ///
    /// # Panics
    /// The id or a role is none.
    pub fn identity(&self, id: &str, roles: &[&str]) -> NodeIdentity {
        use sha2::{Digest, Sha256};
        let key: [u8; 32] = Sha256::digest(id).into();
        let id = id.parse().expect("a node id");
        let mut identity = NodeIdentity::new(self.swarm.clone(), id, key);
        let domain: crate::Domain = "test.internal".parse().expect("a domain");
        identity.dns = vec![domain.host(&identity.id)];
        identity.addresses = vec![[10, key[0], key[1], key[2]].into()];
        identity.roles = roles
            .iter()
            .map(|role| role.parse::<Role>().expect("a role"))
            .collect();
        identity
    }

    /// Issues for a new P-256 key, for 30 days from [`start`](Self::start).
    ///
    /// # Panics
    /// As [`identity`](Self::identity).
    pub fn issue(&mut self, id: &str, roles: &[&str]) -> TestNode {
        let identity = self.identity(id, roles);
        let lifetimes = Lifetimes::default();
        let validity = Validity::starting(self.start, lifetimes.node, lifetimes.backdate);
        self.issue_as(&identity, validity)
    }

    /// Issues for a new P-256 key exactly this identity and validity.
    ///
    /// # Panics
    /// The identity breaks a limit, or the validity lies outside the authority's.
    pub fn issue_as(&mut self, identity: &NodeIdentity, validity: Validity) -> TestNode {
        self.serials += 1;
        let key = PrivateKey::generate(KeyAlgorithm::P256).expect("randomness");
        let certificate = self
            .issuing
            .issue_node(key.public_key(), identity, serial(self.serials), validity)
            .expect("a valid identity");
        self.issued.push(certificate.clone());
        TestNode {
            certificate,
            key: Arc::new(key),
        }
    }

    /// Revokes a certificate and returns the new list.
    pub fn revoke(&mut self, certificate: &Certificate, at: Timestamp) -> RevocationList {
        let revocation = Revocation {
            at,
            reason: RevocationReason::KeyCompromise,
        };
        self.revoked.insert(certificate.serial(), revocation);
        self.crl(at)
    }

    /// Signs a list with the next number, good for 7 days.
    ///
    /// # Panics
    /// The system gives no randomness.
    pub fn crl(&mut self, now: Timestamp) -> RevocationList {
        self.crls += 1;
        let contents = CrlContents {
            number: self.crls,
            this_update: now,
            next_update: now + Lifetimes::default().crl,
            revoked: self.revoked.clone(),
        };
        self.issuing.sign_crl(&contents).expect("plain values")
    }

    /// Signs the root's list, which revokes nothing; good for a year.
    ///
    /// # Panics
    /// The system gives no randomness.
    pub fn root_crl(&self, now: Timestamp) -> RevocationList {
        let contents = CrlContents {
            number: now.as_unix(),
            this_update: now,
            next_update: now + Lifetimes::default().root_crl,
            revoked: BTreeMap::new(),
        };
        self.root.sign_crl(&contents).expect("plain values")
    }

    /// Returns all that was issued, with fresh lists.
    pub fn bundle(&mut self, now: Timestamp) -> TrustBundle {
        let mut bundle = TrustBundle::default();
        bundle.roots.push(self.root.certificate().clone());
        bundle.issuers.push(self.issuing.certificate().clone());
        bundle.crls = vec![self.root_crl(now), self.crl(now)];
        bundle.nodes = self
            .issued
            .iter()
            .map(|node| node.certificate().clone())
            .collect();
        bundle
    }

    /// Returns a trust that knows all that was issued, with fresh lists.
    ///
    /// # Panics
    /// The system gives no randomness.
    pub fn trust(&mut self, now: Timestamp) -> Trust {
        let mut trust = self.empty_trust();
        trust.merge(&self.bundle(now), now);
        trust
    }

    /// Returns a trust that has the root pinned and knows nothing else.
    ///
    /// # Panics
    /// Never: the root is a root.
    pub fn empty_trust(&self) -> Trust {
        Trust::new(self.swarm.clone(), vec![self.root.certificate().clone()]).expect("a root")
    }
}

impl TestNode {
    /// Makes a request with this node's key.
    ///
    /// # Panics
    /// The system gives no randomness.
    pub fn request(&self) -> CertificateRequest {
        let identity = self.certificate.identity();
        let wireguard_key = identity.wireguard_public_key;
        CertificateRequest::build(&*self.key, &identity.swarm, &identity.id, wireguard_key)
            .expect("plain values")
    }
}

fn serial(count: u64) -> SerialNumber {
    let mut random = [0; 16];
    random[8..].copy_from_slice(&count.to_be_bytes());
    SerialNumber::from_random(random)
}
