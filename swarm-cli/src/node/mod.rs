//! A running node: one tunnel, one connection to the bus, one session with the rooms, all bound to one
//! certificate.
//!
//! ```text
//!   control socket, enrolment, bus, neighbours ──▶ trust ──▶ generation ──▶ tunnel, NATS users, rooms, bus
//! ```
//!
//! Each file here is one concern with one task; they share [`Shared`] and meet in the generation of
//! [`MeshTls`](swarm_pki::tls::MeshTls), which moves whenever identity or trust change.

mod accounts;
mod bus;
mod comeback;
mod commands;
mod endpoints;
mod events;
mod health;
pub(crate) mod interface;
mod leaf;
mod local;
mod metrics;
mod renewal;
mod report;
mod rooms;
mod services;
mod shown;
mod supervisor;
mod trust;
mod tunnel;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use swarm_bus::client::Client;
use swarm_bus::topics::{NodeEvent, Occurrence};
use swarm_pki::front::{Access, Front, Rules, Upstream};
use swarm_pki::tls::ClientAuth;
use swarm_pki::{NodeId, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::error::Error;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::member::{INTERFACE_PORT, Member, read_plan};
use crate::status::{
    CertificateStatus, LinkStatus, PeerStatus, ServiceStatus, Status, TunnelStatus,
};
use crate::wire;

use self::endpoints::Endpoints;
use self::events::Events;
use self::leaf::OwnBus;
use self::rooms::Rooms;
use self::services::{Programs, Services};
use self::tunnel::MeshTunnel;

/// How long tasks may take to end by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// What the tasks of a node share.
pub(crate) struct Shared {
    pub(crate) member: Member,
    pub(crate) tunnel: MeshTunnel,
    pub(crate) endpoints: Endpoints,
    pub(crate) bus: Client,
    pub(crate) events: Events,
    pub(crate) rooms: Rooms,
    /// On a hub: the authority of this machine, and the servers.
    pub(crate) hub: Option<Hub>,
    /// On a node that has a bus of its own.
    pub(crate) leaf: Option<OwnBus>,
    /// Rung when the authority should be looked at now.
    pub(crate) refresh: Notify,
    started: Instant,
}

/// What only a hub has.
pub(crate) struct Hub {
    pub(crate) authority: Authority,
    pub(crate) services: Services,
    pub(crate) front: Front,
}

/// A node at work; embed it in a service, or run it with `swarm up`.
///
/// ```no_run
/// # async fn example() -> Result<(), swarm::Error> {
/// let node = swarm::Node::start(swarm::Layout::new("/opt/sovereign-swarm")?, None).await?;
/// println!("{} is up", node.member().id());
/// tokio::signal::ctrl_c().await.ok();
/// node.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Node {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    _lock: Lock,
}

impl Node {
    /// Starts the node `id` of a swarm's directory, or the only one there: makes the tunnel, listens, and
    /// connects in the background. On a hub it starts the servers as well.
    ///
    /// # Errors
    ///
    /// When another process runs the node, its certificate cannot be used, a port is taken, a program is
    /// missing, or there is no privilege to make the interface.
    pub async fn start(layout: Layout, id: Option<&NodeId>) -> Result<Self, Error> {
        let node = layout.find_node(id)?;
        read_plan(&layout)?;
        let lock = Lock::take(&node)?;
        comeback::before_start(&layout, &node).await?;
        let member = Member::open(layout, id)?;
        let authority = match member.is_hub() && member.layout().authority().exists() {
            true => Some((Authority::open(member.layout().clone())?, Programs::find()?)),
            false => None,
        };
        let (stop, stopped) = watch::channel(false);
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, member.plan().health().port));
        let health = interface::listen(loopback, "health and metrics").await?;
        let tunnel = MeshTunnel::start(&member)?;
        let own = member.own_address();
        let inward =
            interface::listen(SocketAddr::new(own, INTERFACE_PORT), "the node's interface").await?;

        let mut tasks = JoinSet::new();
        let hub = match authority {
            Some((authority, programs)) => {
                Some(Hub::start(&member, authority, programs, &mut tasks, stopped.clone()).await?)
            }
            None => None,
        };
        let leaf = match member.is_leaf() {
            true => Some(OwnBus::start(&member)?),
            false => None,
        };
        let bus = member.bus();
        let shared = Arc::new(Shared {
            events: Events::open(&member, &bus)?,
            endpoints: Endpoints::open(member.node_layout().endpoints()),
            bus,
            rooms: Rooms::new(&member),
            refresh: Notify::new(),
            started: Instant::now(),
            member,
            tunnel,
            hub,
            leaf,
        });
        shared.follow_roster();

        let routes = interface::member_routes(Arc::clone(&shared));
        tasks.spawn(interface::serve(
            Arc::clone(&shared),
            inward,
            ClientAuth::Required,
            routes,
            stopped.clone(),
        ));
        if let Some(hub) = &shared.hub {
            let port = hub.enrolment_port(&shared.member);
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let outward = interface::listen(address, "enrolment").await?;
            let routes = interface::enrolment_routes(
                Arc::clone(&shared),
                swarm_pki::enroll::Server::new(hub.authority.store().clone()),
            );
            tasks.spawn(interface::serve(
                Arc::clone(&shared),
                outward,
                ClientAuth::Optional,
                routes,
                stopped.clone(),
            ));
        }
        tasks.spawn(health::serve(Arc::clone(&shared), health, stopped.clone()));
        tasks.spawn(local::serve(
            Arc::clone(&shared),
            local::listen(&shared.member)?,
            stopped,
        ));
        tasks.spawn(trust::follow(Arc::clone(&shared)));
        tasks.spawn(trust::ask_neighbours(Arc::clone(&shared)));
        tasks.spawn(tunnel::follow_events(Arc::clone(&shared)));
        tasks.spawn(bus::follow(Arc::clone(&shared)));
        tasks.spawn(rooms::follow(Arc::clone(&shared)));
        tasks.spawn(renewal::keep(Arc::clone(&shared)));
        if shared.hub.is_some() {
            tasks.spawn(trust::follow_authority(Arc::clone(&shared)));
        }
        Ok(Self {
            shared,
            tasks,
            stop,
            _lock: lock,
        })
    }

    /// What a program needs in order to act as this node.
    pub fn member(&self) -> &Member {
        &self.shared.member
    }

    /// What the node says of itself.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Tells the others what happens to this node, or to an application on it: the event is on disk when this
    /// returns, and the bus stores it in order and once, now or when it is there again.
    ///
    /// # Errors
    ///
    /// When the disk does not take it, it is too large, or it is an alert in the name of another node.
    pub async fn tell(&self, event: &NodeEvent) -> Result<(), Error> {
        self.shared.events.put(event).await.map(drop)
    }

    /// Ends everything in order: sessions, servers, the tunnel last.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let end = async {
            let reason = "the node was stopped".to_owned();
            self.shared.events.tell(Occurrence::Down { reason }).await;
            let is_connected = self.shared.bus.states().current().is_connected();
            self.shared.events.close(is_connected).await;
            self.shared.rooms.close().await;
            // whatever is not delivered by then is counted by whoever waits for it
            if let Err(error) = self.shared.bus.drain(GRACE).await {
                tracing::debug!(%error, "the bus did not drain");
            }
        };
        if tokio::time::timeout(GRACE, end).await.is_err() {
            tracing::warn!("sessions did not end in time");
        }
        if let Some(hub) = &self.shared.hub {
            hub.services.stop().await;
        }
        if let Some(leaf) = &self.shared.leaf {
            leaf.nats.stop().await;
        }
        self.tasks.shutdown().await;
    }
}

impl Hub {
    async fn start(
        member: &Member,
        authority: Authority,
        programs: Programs,
        tasks: &mut JoinSet<()>,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let plan = member.plan();
        let front = interface::listen(plan.matrix_address(), "the rooms' front").await?;
        let services = Services::start(member, &authority, programs)?;
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, plan.matrix().client_port));
        let closed = "/_synapse/admin".parse().expect("a plain path");
        let rules = Rules::new(Access::AnyMember).close(closed);
        let proxy = Front::http(member.tls().clone(), Upstream::Tcp(upstream), rules);
        let running = proxy.clone();
        tasks.spawn(async move {
            // an error means that the node is gone, which is a stop as well
            running
                .serve(
                    front,
                    async move { drop(stopped.wait_for(|stop| *stop).await) },
                )
                .await;
        });
        Ok(Self {
            authority,
            services,
            front: proxy,
        })
    }

    fn enrolment_port(&self, member: &Member) -> u16 {
        let own = member
            .plan()
            .node(&wire::config_id(member.id()))
            .and_then(|node| node.enroll);
        own.map_or(0, |address| address.port())
    }
}

impl Shared {
    /// Brings the tunnel in line with the roster of the moment.
    pub(crate) fn follow_roster(&self) {
        let trust = self.member.tls().trust();
        self.endpoints.retain(|node| trust.node(node).is_some());
        let planned = |id: &NodeId| {
            self.member
                .plan()
                .node(&wire::config_id(id))
                .and_then(|node| node.endpoint)
        };
        let hint = |id: &NodeId| planned(id).or_else(|| self.endpoints.get(id));
        if let Err(error) = self.tunnel.follow(trust.roster(), hint) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the tunnel cannot follow the roster"
            );
        }
    }

    /// Where the tunnel sees each node at this moment.
    pub(crate) fn seen_endpoints(&self) -> BTreeMap<NodeId, SocketAddr> {
        let trust = self.member.tls().trust();
        let peers = self.tunnel.tunnel().peers();
        let seen = peers.iter().filter(|peer| peer.session).filter_map(|peer| {
            let node = trust.node_by_wireguard_key(peer.public_key.as_bytes())?;
            Some((node.id().clone(), peer.endpoint?))
        });
        seen.collect()
    }

    pub(crate) fn status(&self) -> Status {
        let certificate = self.member.certificate();
        let identity = certificate.identity();
        let services = self
            .hub
            .as_ref()
            .map(|hub| hub.services.all().map(service_status))
            .into_iter()
            .flatten()
            .chain(self.leaf.as_ref().map(|leaf| service_status(&leaf.nats)))
            .collect();
        let mut status = Status {
            swarm: identity.swarm.to_string(),
            node: identity.id.to_string(),
            roles: identity.roles.iter().map(ToString::to_string).collect(),
            addresses: identity.addresses.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            certificate: CertificateStatus {
                serial: certificate.serial().to_string(),
                not_after: certificate.not_after().to_string(),
                remaining_seconds: certificate.not_after().since(Timestamp::now()).as_secs(),
            },
            tunnel: self.tunnel_status(),
            bus: self.bus_status(),
            link: self.leaf.as_ref().map(OwnBus::link),
            events: self.events.status(),
            rooms: self.rooms.status(),
            services,
            problems: Vec::new(),
        };
        status.problems = health::problems(&status);
        status
    }

    fn tunnel_status(&self) -> TunnelStatus {
        let trust = self.member.tls().trust();
        let tunnel = self.tunnel.tunnel();
        let now = std::time::SystemTime::now();
        let peers = tunnel.peers().into_iter().filter_map(|peer| {
            let identity = trust
                .node_by_wireguard_key(peer.public_key.as_bytes())?
                .identity();
            Some(PeerStatus {
                node: identity.id.to_string(),
                roles: identity.roles.iter().map(ToString::to_string).collect(),
                addresses: identity.addresses.clone(),
                public_key: peer.public_key.to_string(),
                endpoint: peer.endpoint,
                handshake_age_seconds: peer
                    .latest_handshake
                    .map(|at| now.duration_since(at).unwrap_or_default().as_secs()),
                session: peer.session,
                received_bytes: peer.rx_bytes,
                sent_bytes: peer.tx_bytes,
            })
        });
        let mut peers: Vec<_> = peers.collect();
        peers.sort_unstable_by(|one, other| one.node.cmp(&other.node));
        TunnelStatus {
            interface: tunnel.interface().to_owned(),
            listen_port: tunnel.listen_port(),
            peers,
        }
    }

    fn bus_status(&self) -> LinkStatus {
        let state = self.bus.states().current();
        LinkStatus {
            connected: state.is_connected(),
            state: wire::bus_state(&state),
        }
    }
}

fn service_status(service: &supervisor::Supervised) -> ServiceStatus {
    let condition = service.condition();
    ServiceStatus {
        name: service.name().to_owned(),
        pid: condition.pid,
        ready: condition.ready,
        restarts: condition.restarts,
        last_exit: condition.last_exit,
    }
}
