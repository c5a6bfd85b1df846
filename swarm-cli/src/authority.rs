//! The authority of a machine, used with the swarm's plan: bootstrap, invites, revocation, rendering.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use swarm_config::{Plan, Renderer, Starter};
use swarm_pki::enroll::{Address, Invite};
use swarm_pki::store::{Grant, InviteSpec, NodeStatus, RootKey, Store, StoreSpec, Target};
use swarm_pki::{
    KeyAlgorithm, Lifetimes, NodeCertificate, NodeId, RevocationList, RevocationReason, Role,
    SwarmName, Timestamp,
};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::identity::{self, Identity};
use crate::layout::Layout;
use crate::member::{parse_plan, read_plan};
use crate::{file, secrets, wire};

/// What a first bootstrap is told; later ones read it all from `swarm.toml`.
#[derive(Debug, Clone)]
pub struct FirstHub {
    /// The swarm's name.
    pub swarm: SwarmName,
    /// The hub's id.
    pub node: NodeId,
    /// The hub's public WireGuard address.
    pub endpoint: SocketAddr,
}

/// What a bootstrap did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bootstrapped {
    /// The swarm's name.
    pub swarm: SwarmName,
    /// The hub's id.
    pub node: NodeId,
    /// The root certificate's SHA-256 fingerprint, which every invite pins.
    pub root: swarm_pki::Fingerprint,
    /// The files that were made or changed, below the swarm's directory.
    pub changed: Vec<PathBuf>,
}

/// An authority and the plan that it serves.
#[derive(Debug, Clone)]
pub struct Authority {
    layout: Layout,
    plan: Plan,
    store: Store,
}

impl Authority {
    /// Opens the authority of a swarm's directory.
    ///
    /// # Errors
    ///
    /// When there is none, its files are wrong, or `swarm.toml` is.
    pub fn open(layout: Layout) -> Result<Self, Error> {
        let directory = layout.authority();
        if !directory.exists() {
            return Err(Error::NoAuthority { directory });
        }
        let plan = read_plan(&layout)?;
        let store = Store::open(&directory)?;
        Ok(Self {
            layout,
            plan,
            store,
        })
    }

    /// Makes whatever is missing of a hub: `swarm.toml`, the authority, the hub's own certificate, secrets,
    /// rendered files. Run again, it changes only what the plan changed.
    ///
    /// # Errors
    ///
    /// When something is wrong with the plan or the directory; nothing is made before both are checked.
    pub fn bootstrap(
        layout: Layout,
        first: &FirstHub,
        passphrase: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Bootstrapped, Error> {
        let now = Timestamp::now();
        let mut changed = Vec::new();
        let config = layout.config();
        let text = match std::fs::read_to_string(&config) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => starter(first),
            text => text.map_err(Error::file(&config))?,
        };
        let plan = parse_plan(&text, &config)?;
        let node = wire::node_id(&plan.primary().id);
        file::private_directory(layout.root()).map_err(Error::file(layout.root()))?;
        if write_if_changed(&config, &text, 0o644)? {
            changed.push(config);
        }
        let directory = layout.authority();
        let store = if directory.exists() {
            Store::open(&directory)?
        } else {
            changed.push(directory.clone());
            let mut spec = specification(&plan);
            spec.root_key = RootKey::Stored { passphrase };
            Store::init(&directory, spec, "bootstrap", now)?
        };
        let authority = Self {
            layout,
            plan,
            store,
        };
        if !authority.layout.node(&node).identity().exists() {
            authority.enrol_hub(&node, now)?;
            changed.push(authority.layout.node(&node).directory().to_owned());
        }
        changed.extend(secrets::make_missing(&authority.layout)?);
        changed.extend(authority.render(&node)?);
        let root = authority.store.root()?.fingerprint();
        Ok(Bootstrapped {
            swarm: authority.swarm()?,
            node,
            root,
            changed,
        })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The certificates, the revocation lists, the log.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The swarm's plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The swarm's name.
    ///
    /// # Errors
    ///
    /// When the authority's directory cannot be read.
    pub fn swarm(&self) -> Result<SwarmName, Error> {
        Ok(self.store.settings()?.swarm)
    }

    /// Invites a node: it gets the address that the plan has for it, or the next free one.
    ///
    /// # Errors
    ///
    /// When the id is taken, no address is free, or the authority's directory cannot be written.
    pub fn invite(
        &self,
        id: &NodeId,
        roles: BTreeSet<Role>,
        lifetime: Option<Duration>,
        requester: &str,
    ) -> Result<Invite, Error> {
        let now = Timestamp::now();
        let lifetime = lifetime.unwrap_or_else(|| self.plan.ca().invite_lifetime.duration());
        let expires = now + lifetime;
        if let Some(record) = self.store.node(id, now)?
            && record.status == NodeStatus::Live
        {
            return Err(Error::Exists {
                what: format!(
                    "a node {id} with certificate {}",
                    record.certificate.serial()
                ),
            });
        }
        let mut grant = self.grant(id, now)?;
        if !roles.is_empty() {
            grant.roles = roles;
        }
        let hub = self.plan.primary();
        let addresses = hub.enroll.into_iter().map(Address::from).collect();
        let spec = InviteSpec { grant, expires };
        Ok(Invite::create(
            &self.store,
            &spec,
            wire::node_id(&hub.id),
            addresses,
            requester,
            now,
        )?)
    }

    /// Revokes every certificate of a node.
    ///
    /// # Errors
    ///
    /// When there is no such node, or it is revoked already.
    pub fn revoke(
        &self,
        id: &NodeId,
        reason: RevocationReason,
        requester: &str,
    ) -> Result<RevocationList, Error> {
        Ok(self.store.revoke(
            &Target::Node(id.clone()),
            reason,
            requester,
            Timestamp::now(),
        )?)
    }

    /// Writes every rendered file whose contents changed, and returns their paths.
    ///
    /// # Errors
    ///
    /// When a file cannot be rendered or written.
    pub fn render(&self, node: &NodeId) -> Result<Vec<PathBuf>, Error> {
        let trust = self.store.trust(Timestamp::now())?;
        self.write(self.rendered(node, trust.roster())?)
    }

    /// Writes those of the rendered files whose contents changed, and returns their paths.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, files: Vec<swarm_config::RenderedFile>) -> Result<Vec<PathBuf>, Error> {
        let mut changed = Vec::new();
        for rendered in files {
            let path = self.layout.root().join(rendered.path);
            if write_if_changed(&path, &rendered.contents, rendered.mode)? {
                changed.push(path);
            }
        }
        Ok(changed)
    }

    /// Renders the configuration of a hub with the nodes of a roster.
    ///
    /// # Errors
    ///
    /// When a value cannot stand in a file as it is.
    pub fn rendered<'a>(
        &self,
        node: &NodeId,
        roster: impl Iterator<Item = &'a NodeCertificate>,
    ) -> Result<Vec<swarm_config::RenderedFile>, Error> {
        let endpoint = |id: &NodeId| {
            self.plan
                .node(&wire::config_id(id))
                .and_then(|node| node.endpoint)
        };
        let members = roster
            .map(|node| wire::member(node, endpoint(node.id()), &self.plan))
            .collect::<Result<Vec<_>, _>>()?;
        let own = wire::config_id(node);
        let mut renderer = Renderer::new(&self.plan, self.layout.rendered(), &own, &members);
        if let Some(program) = this_program() {
            renderer.program = program;
        }
        Ok(renderer.all(Some(&secrets::token_key(&self.layout)?))?)
    }

    /// What a node is granted by the plan: its roles and its addresses.
    pub(crate) fn grant(&self, id: &NodeId, now: Timestamp) -> Result<Grant, Error> {
        let mut grant = Grant::new(id.clone());
        let planned = self.plan.node(&wire::config_id(id));
        let addresses = match planned {
            Some(node) => node.addresses,
            None => {
                let taken = self.taken_addresses(now)?;
                self.plan
                    .mesh()
                    .allocate(&taken, &wire::config_id(id))
                    .map_err(|error| Error::Render(error.to_string()))?
            }
        };
        grant.addresses = vec![IpAddr::V4(addresses.v4), IpAddr::V6(addresses.v6)];
        grant.roles = match planned {
            Some(node) => node.roles.iter().map(wire::role).collect(),
            None => BTreeSet::from([Role::edge()]),
        };
        Ok(grant)
    }

    fn taken_addresses(&self, now: Timestamp) -> Result<BTreeSet<Ipv4Addr>, Error> {
        let v4 = |address: &IpAddr| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        };
        let mut taken: BTreeSet<_> = self.plan.nodes().map(|node| node.addresses.v4).collect();
        for node in self.store.nodes(now)? {
            taken.extend(node.certificate.identity().addresses.iter().filter_map(v4));
        }
        for invite in self.store.open_invites(now)? {
            taken.extend(invite.grant.addresses.iter().filter_map(v4));
        }
        Ok(taken)
    }

    fn enrol_hub(&self, id: &NodeId, now: Timestamp) -> Result<(), Error> {
        let node = self.layout.node(id);
        file::private_directory(node.directory()).map_err(Error::file(node.directory()))?;
        let (key, request) = secrets::request(&self.swarm()?, id, &node)?;
        let issued = self
            .store
            .issue(&request, &self.grant(id, now)?, "bootstrap", now)?;
        identity::save_trust(&node, &self.store.trust(now)?)?;
        Identity::new(key, issued.certificate, vec![issued.issuer]).save(&node)
    }
}

fn starter(first: &FirstHub) -> String {
    let name =
        swarm_config::SwarmName::parse(first.swarm.as_str()).expect("both have the same form");
    Starter::new(name, wire::config_id(&first.node), first.endpoint).to_toml()
}

/// Describes the authority that a plan wants; its root's key goes into the authority's directory, plain.
pub fn specification(plan: &Plan) -> StoreSpec {
    let ca = plan.ca();
    let mut lifetimes = Lifetimes::default();
    lifetimes.root = ca.root_lifetime.duration();
    lifetimes.issuing = ca.issuing_lifetime.duration();
    lifetimes.node = ca.node_lifetime.duration();
    lifetimes.crl = ca.crl_lifetime.duration();
    let swarm = plan
        .name()
        .as_str()
        .parse()
        .expect("both have the same form");
    let domain = plan
        .domain()
        .as_str()
        .parse()
        .expect("both have the same form");
    let mut specification = StoreSpec::new(swarm, domain);
    specification.settings.key_algorithm = KeyAlgorithm::P256;
    specification.settings.lifetimes = lifetimes;
    specification
}

/// The nodes that are live as far as this machine knows: those of this authority and, where a node of this
/// machine has met others, those of the swarm's other authorities.
///
/// # Errors
///
/// When the authority's directory cannot be read.
pub fn live_nodes(layout: &Layout, store: &Store) -> Result<Vec<NodeCertificate>, Error> {
    let now = Timestamp::now();
    let mut trust = store.trust(now)?;
    // a machine with an authority and no node has its own inventory alone
    if let Ok(node) = layout.find_node(None)
        && let Ok(kept) =
            Identity::load(&node).and_then(|own| identity::load_trust(&node, &own.certificate))
    {
        trust.merge(&kept.to_bundle(), now);
    }
    Ok(trust.roster().cloned().collect())
}

fn write_if_changed(path: &std::path::Path, contents: &str, mode: u32) -> Result<bool, Error> {
    if std::fs::read(path).is_ok_and(|present| present == contents.as_bytes()) {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        file::private_directory(parent).map_err(Error::file(parent))?;
    }
    file::replace(path, contents.as_bytes(), mode).map_err(Error::file(path))?;
    Ok(true)
}

fn this_program() -> Option<swarm_config::AbsolutePath> {
    std::env::current_exe()
        .ok()?
        .to_str()
        .and_then(|path| swarm_config::AbsolutePath::parse(path).ok())
}
