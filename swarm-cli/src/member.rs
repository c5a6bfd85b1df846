//! A member of a swarm: what a program needs in order to act as a node, from its directory.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use swarm_bus::client::{Client, Options};
use swarm_bus::permissions::HUB_DOMAIN;
use swarm_config::{Plan, Renderer, SwarmFile};
use swarm_pki::tls::{Expected, MeshTls, http as mesh};
use swarm_pki::{NodeCertificate, NodeId, Role, SwarmName, Timestamp, TrustBundle, TrustChanges};

use crate::error::Error;
use crate::identity::{self, Identity};
use crate::layout::{Layout, NodeLayout};
use crate::wire;

/// The port of every node's own interface, on its mesh address.
pub(crate) const INTERFACE_PORT: u16 = 7444;

/// A node's identity, its trust and its plan; cheap to clone, and clones share the live TLS state.
///
/// This is what a program embeds to talk as the node whose directory it can read: over mutual TLS, or on the
/// bus.
#[derive(Clone)]
pub struct Member {
    layout: Layout,
    node: NodeLayout,
    plan: Arc<Plan>,
    tls: MeshTls,
    id: NodeId,
}

impl Member {
    /// Opens the node `id` of a swarm's directory, or the only one there.
    ///
    /// # Errors
    ///
    /// When there is no such node, a file is missing or wrong, or its certificate cannot be used now.
    pub fn open(layout: Layout, id: Option<&NodeId>) -> Result<Self, Error> {
        let node = layout.find_node(id)?;
        let plan = read_plan(&layout)?;
        let Identity {
            key,
            chain,
            certificate,
        } = Identity::load(&node)?;
        check_clock(&certificate)?;
        let trust = identity::load_trust(&node, &certificate)?;
        let id = certificate.id().clone();
        let tls = MeshTls::new(&chain, key, trust).map_err(|error| Error::Corrupt {
            path: node.identity(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            layout,
            node,
            plan: Arc::new(plan),
            tls,
            id,
        })
    }

    /// The node's id.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The node's swarm.
    pub fn swarm(&self) -> SwarmName {
        self.certificate().identity().swarm.clone()
    }

    /// The swarm's plan, as `swarm.toml` has it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The swarm's directory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The node's own directory.
    pub fn node_layout(&self) -> &NodeLayout {
        &self.node
    }

    /// The live TLS state: configurations made from it follow every renewal and revocation.
    pub fn tls(&self) -> &MeshTls {
        &self.tls
    }

    /// The node's certificate of the moment.
    pub fn certificate(&self) -> NodeCertificate {
        self.tls.certificate()
    }

    /// The node's first address in the mesh, where its own interface listens.
    pub(crate) fn own_address(&self) -> std::net::IpAddr {
        // every certificate that this project issues has an address; an odd one can listen for itself alone
        let identity = self.certificate();
        identity
            .identity()
            .addresses
            .first()
            .copied()
            .unwrap_or(std::net::Ipv4Addr::LOCALHOST.into())
    }

    /// The name of the tunnel's network interface.
    pub(crate) fn interface(&self) -> swarm_wg::InterfaceName {
        "swarm0".parse().expect("a valid interface name")
    }

    /// Whether the node is a hub.
    pub fn is_hub(&self) -> bool {
        self.certificate().identity().has_role(Role::HUB)
    }

    /// Whether the node has a bus of its own, which is a leaf node of the hub's.
    pub fn is_leaf(&self) -> bool {
        self.plan.is_leaf(&wire::config_id(&self.id))
    }

    /// Renders the configuration of the node's own bus, if it has one, for the certificate of the moment.
    ///
    /// # Errors
    ///
    /// When the plan gives the node no bus of its own, or a value cannot stand in the file.
    pub fn rendered_bus(&self) -> Result<swarm_config::RenderedFile, Error> {
        let own = wire::member(&self.certificate(), None, &self.plan)?;
        let (id, members) = (own.id.clone(), [own]);
        let renderer = Renderer::new(&self.plan, self.layout.rendered(), &id, &members);
        Ok(renderer.nats_leaf()?)
    }

    /// Starts a connection to the bus as this node; it connects and reconnects in the background. A node with
    /// a bus of its own connects to that.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bus(&self) -> Client {
        let (address, expected) = match self.is_leaf() {
            true => (self.plan.leaf_address(), Expected::Node(self.id.clone())),
            false => (self.plan.nats_address(), Expected::Role(Role::hub())),
        };
        let tls = self.tls.client_config(expected, &[]);
        let mut options = Options::new(
            wire::token(&self.id),
            vec![wire::bus_server(address)],
            tls.as_ref().clone(),
        );
        options.name = self.id.to_string();
        Client::start(options)
    }

    /// Returns the same connection, speaking of the hub's streams, buckets and objects: the mesh's are there. On
    /// a node with a bus of its own they are on the other side of its link.
    #[must_use]
    pub fn at_hub(&self, bus: &Client) -> Client {
        match self.is_leaf() {
            true => bus.in_domain(HUB_DOMAIN),
            false => bus.clone(),
        }
    }

    /// Sends a request to another node's own interface, over mutual TLS inside the tunnel.
    ///
    /// # Errors
    ///
    /// When the node is not in the roster, does not answer in 10 seconds, or answers with an error.
    pub async fn request(
        &self,
        to: &NodeId,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let trust = self.tls.trust();
        let refused = |reason: String| Error::Refused {
            by: to.to_string(),
            reason,
        };
        let address = trust
            .node(to)
            .and_then(|node| node.identity().addresses.first().copied())
            .ok_or_else(|| refused("it is not in the roster".to_owned()))?;
        let address = SocketAddr::new(address, INTERFACE_PORT);
        Self::ask(
            &self.tls,
            address,
            Expected::Node(to.clone()),
            method,
            path,
            body,
        )
        .await
    }

    /// Sends a request to whoever is expected at `address`.
    pub(crate) async fn ask(
        tls: &MeshTls,
        address: SocketAddr,
        expected: Expected,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let config = tls.client_config(expected, &[]);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string())
            .body(body)
            .expect("method and path are well formed");
        let mut limits = mesh::Limits::default();
        limits.body = swarm_pki::MAX_BUNDLE_BYTES;
        let answer = mesh::request(address, &config, request, &limits)
            .await
            .map_err(|source| Error::Peer {
                node: address.to_string(),
                source,
            })?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let reason = String::from_utf8_lossy(answer.body())
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        Err(Error::Refused {
            by: address.to_string(),
            reason: format!("{} {reason}", answer.status()),
        })
    }

    /// Takes over what is new in a bundle, whoever carried it, and keeps it; tells what changed.
    ///
    /// # Errors
    ///
    /// When the new trust cannot be written; it is in force all the same.
    pub fn take_over(&self, bundle: &TrustBundle) -> Result<TrustChanges, Error> {
        self.change_trust(|trust| trust.merge(bundle, Timestamp::now()))
    }

    /// Drops what has expired since; tells what changed.
    ///
    /// # Errors
    ///
    /// When the new trust cannot be written; it is in force all the same.
    pub(crate) fn expire(&self) -> Result<TrustChanges, Error> {
        self.change_trust(|trust| trust.expire(Timestamp::now()))
    }

    fn change_trust(
        &self,
        change: impl FnOnce(&mut swarm_pki::Trust) -> TrustChanges,
    ) -> Result<TrustChanges, Error> {
        let updated = self.tls.update_trust(|trust| {
            let changes = change(trust);
            for refusal in &changes.refused {
                tracing::warn!(what = refusal.what, reason = %refusal.reason, "a part of a trust bundle is not believed");
            }
            // an error leaves the old trust, and so the generation, as they were
            if changes.is_empty() { Err(Box::new(changes)) } else { Ok(changes) }
        });
        match updated {
            Ok(changes) => identity::save_trust(&self.node, &self.tls.trust()).map(|()| changes),
            Err(unchanged) => Ok(*unchanged),
        }
    }

    /// Presents another certificate from now on, and keeps it.
    pub(crate) fn replace_identity(&self, identity: Identity) -> Result<(), Error> {
        identity.save(&self.node)?;
        self.tls
            .replace_identity(&identity.chain, identity.key)
            .map_err(|error| Error::Corrupt {
                path: self.node.identity(),
                reason: error.to_string(),
            })
    }

    /// Reads the tunnel's private key.
    pub(crate) fn wireguard_key(&self) -> Result<swarm_wg::PrivateKey, Error> {
        read_wireguard_key(&self.node)
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Member")
            .field("id", &self.id)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// Reads and checks `swarm.toml`.
///
/// # Errors
///
/// When it is missing, or wrong: then with line, column and a hint for each mistake.
pub fn read_plan(layout: &Layout) -> Result<Plan, Error> {
    let path = layout.config();
    let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
    parse_plan(&text, &path)
}

pub(crate) fn parse_plan(text: &str, path: &std::path::Path) -> Result<Plan, Error> {
    let wrong = |problems: swarm_config::Problems| Error::Config {
        path: path.to_owned(),
        problems: problems.to_string(),
    };
    SwarmFile::parse(text)
        .and_then(|file| file.resolve(&Default::default()))
        .map_err(wrong)
}

pub(crate) fn read_wireguard_key(node: &NodeLayout) -> Result<swarm_wg::PrivateKey, Error> {
    let path = node.wireguard_key();
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).map_err(Error::file(&path))?);
    text.trim()
        .parse()
        .map_err(|error: swarm_wg::InvalidKey| Error::Corrupt {
            path,
            reason: error.to_string(),
        })
}

/// A certificate that cannot be used now is either old, or this machine's clock is wrong; both are said.
fn check_clock(certificate: &NodeCertificate) -> Result<(), Error> {
    let now = Timestamp::now();
    let reason = if now < certificate.not_before() {
        format!(
            "begins at {}, but this machine's clock says {now}: the clock is wrong",
            certificate.not_before()
        )
    } else if now > certificate.not_after() {
        format!(
            "ended at {}; this machine's clock says {now}",
            certificate.not_after()
        )
    } else {
        return Ok(());
    };
    Err(Error::Certificate {
        node: certificate.id().clone(),
        reason,
    })
}
