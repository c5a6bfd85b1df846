//! What the threads of a tunnel and its callers share.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use rustix::event::{EventfdFlags, eventfd};

use super::events::{Events, Subscribers};
use super::flag::Flag;
use super::grace::Grace;
use super::outbound::Outbound;
use super::pump::Pump;
use super::routes::{InterfaceRoutes, interface_error};
use super::timer::Alarm;
use super::tun::Tun;
use super::udp::Sockets;
use super::{clock, lock};
use crate::config::{InterfaceName, PeerConfig, TunnelConfig};
use crate::core::plane::Plane;
use crate::core::{Core, CoreConfig};
use crate::error::Error;
use crate::key::{PrivateKey, PublicKey};
use crate::metrics::Metrics;
use crate::stats::PeerStats;

/// Workers past this number find no more packets to share on a machine of today.
const MAX_WORKERS: usize = 8;

pub(crate) struct Shared {
    pub(super) core: Mutex<Core>,
    pub(super) plane: Arc<Plane>,
    pub(super) tun: Tun,
    pub(super) sockets: Mutex<Arc<Sockets>>,
    pub(super) grace: Grace,
    pub(super) subscribers: Subscribers,
    pub(super) timer: Alarm,
    pub(super) stopping: AtomicBool,
    /// The way out of each worker.
    pub(super) outbound: Vec<Outbound>,
    closed: Flag,
    pub(super) stopped: Arc<Flag>,
    /// Readable once the tunnel stops; never read.
    pub(super) stop: OwnedFd,
    name: InterfaceName,
    fwmark: AtomicU32,
    /// Changes are made one at a time, with this.
    control: Mutex<Option<Pump>>,
    routes: Mutex<InterfaceRoutes>,
}

impl Shared {
    /// Makes the interface and binds the port; nothing passes yet.
    pub(crate) fn open(config: &TunnelConfig) -> Result<Arc<Self>, Error> {
        let name = config.interface.as_str();
        let mut seed = [0u8; 32];
        super::fill_random(&mut seed)?;
        let workers = config
            .workers
            .map_or_else(default_workers, |workers| workers.get().into());
        let mut core_config = CoreConfig::new(config.private_key.clone());
        core_config.mtu = config.mtu;
        core_config.handshake_floor = config.handshake_floor;
        let now = clock::now();
        let core = Core::new(core_config, seed, now, clock::wall());

        let sockets = Sockets::bind(config.listen_port, config.fwmark, workers)?;
        let tun = Tun::create(&config.interface, config.mtu, workers)?;
        let index = tun.index().map_err(interface_error(name, "find"))?;
        let routes =
            InterfaceRoutes::new(index, name, config.mtu, &config.addresses, config.routes)?;
        if config.up {
            tun.bring_up().map_err(interface_error(name, "bring up"))?;
        }

        let event = || {
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|error| Error::Thread(error.into()))
        };
        let grace = Grace::default();
        let outbound = (0..workers)
            .map(|_| Ok(Outbound::new(&grace, event()?)))
            .collect::<Result<_, _>>()?;
        let shared = Arc::new(Self {
            plane: Arc::clone(core.plane()),
            core: Mutex::new(core),
            tun,
            sockets: Mutex::new(Arc::new(sockets)),
            grace,
            subscribers: Subscribers::default(),
            timer: Alarm::new(now),
            stopping: AtomicBool::new(false),
            outbound,
            closed: Flag::default(),
            stopped: Arc::default(),
            stop: event()?,
            name: config.interface.clone(),
            fwmark: AtomicU32::new(config.fwmark),
            control: Mutex::new(None),
            routes: Mutex::new(routes),
        });
        *lock(&shared.control) = Some(Pump::new(&shared, 0));
        Ok(shared)
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn port(&self) -> u16 {
        lock(&self.sockets).port()
    }

    /// What is known of each peer, sorted by public key.
    pub(crate) fn peers(&self) -> Vec<PeerStats> {
        self.read(|core| core.peers(clock::now()))
    }

    /// What is known of one peer.
    pub(crate) fn peer(&self, peer: &PublicKey) -> Option<PeerStats> {
        self.read(|core| core.peer(peer, clock::now()))
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            interface: self.name().to_owned(),
            peers: self.peers(),
            drops: self.plane.drops().counters(),
        }
    }

    /// How many threads carry packets in each direction.
    pub(super) fn workers(&self) -> usize {
        self.outbound.len()
    }

    pub(crate) fn fwmark(&self) -> u32 {
        self.fwmark.load(Ordering::SeqCst)
    }

    pub(crate) fn events(&self) -> Events {
        self.subscribers.subscribe()
    }

    /// Reads from the core.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Core) -> R) -> R {
        read(&lock(&self.core))
    }

    /// Changes the core, and sends what it has to say to that.
    fn change<R>(&self, work: impl FnOnce(&mut Core, std::time::Instant) -> R) -> R {
        let mut control = lock(&self.control);
        let pump = control.get_or_insert_with(|| Pump::new(self, 0));
        pump.turn(self, work)
    }

    pub(crate) fn add_peer(&self, config: &PeerConfig) -> Result<(), Error> {
        let peer = config.public_key;
        if self.peer(&peer).is_some() {
            return Err(Error::PeerExists { peer });
        }
        lock(&self.routes).add(&config.allowed_ips)?;
        self.change(|core, now| core.add_peer(config, now))
            .inspect_err(|_| self.release_routes(&config.allowed_ips))
    }

    pub(crate) fn update_peer(&self, config: &PeerConfig) -> Result<(), Error> {
        let peer = config.public_key;
        let before = self
            .peer(&peer)
            .ok_or(Error::UnknownPeer { peer })?
            .allowed_ips;
        lock(&self.routes).add(&config.allowed_ips)?;
        let result = self.change(|core, now| core.update_peer(config, now));
        self.release_routes(&before);
        self.release_routes(&config.allowed_ips);
        // What was in flight went by the old table.
        self.grace.wait();
        result
    }

    pub(crate) fn set_endpoint(&self, peer: &PublicKey, endpoint: SocketAddr) -> Result<(), Error> {
        self.change(|core, now| core.set_endpoint(peer, endpoint, now))
    }

    pub(crate) fn remove_peer(&self, peer: &PublicKey) -> bool {
        let prefixes = self.peer(peer).map(|peer| peer.allowed_ips);
        let removed = self.change(|core, now| core.remove_peer(peer, now));
        self.grace.wait();
        if let Some(prefixes) = prefixes {
            self.release_routes(&prefixes);
        }
        removed
    }

    pub(crate) fn set_private_key(&self, key: PrivateKey) {
        self.change(|core, now| core.set_private_key(key, now));
        self.grace.wait();
    }

    /// Removes the routes of those prefixes that no peer has any more.
    fn release_routes(&self, prefixes: &[IpNet]) {
        let unowned = self.read(|core| {
            let unowned = prefixes.iter().filter(|prefix| !core.is_allowed(**prefix));
            unowned.copied().collect::<Vec<_>>()
        });
        lock(&self.routes).remove(&unowned);
    }

    /// Moves to another port, 0 for any free one. Where that fails the old one stays.
    pub(crate) fn set_listen_port(&self, port: u16) -> Result<u16, Error> {
        let _one_at_a_time = lock(&self.control);
        if port != 0 && port == self.port() {
            return Ok(port);
        }
        let sockets = Arc::new(Sockets::bind(port, self.fwmark(), self.workers())?);
        let port = sockets.port();
        *lock(&self.sockets) = sockets;
        self.outbound.iter().for_each(Outbound::ring);
        Ok(port)
    }

    /// Sets the mark on outgoing datagrams.
    pub(crate) fn set_fwmark(&self, fwmark: u32) -> Result<(), Error> {
        let _one_at_a_time = lock(&self.control);
        let sockets = Arc::clone(&lock(&self.sockets));
        sockets.set_fwmark(fwmark).map_err(|source| Error::Bind {
            port: sockets.port(),
            source,
        })?;
        self.fwmark.store(fwmark, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn handshake_floor(&self) -> SystemTime {
        self.read(Core::handshake_floor)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Says that the interface, or the configuration socket, was taken away.
    pub(crate) fn close(&self) {
        self.closed.raise();
    }

    /// Waits until the tunnel is closed, no longer than this; whether it is.
    pub(crate) fn wait_closed(&self, timeout: Duration) -> bool {
        self.closed.wait(timeout)
    }

    /// Tells every thread to end.
    pub(super) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        ring(&self.stop);
        self.outbound.iter().for_each(Outbound::stop);
        self.stopped.raise();
        self.timer.ring();
    }
}

/// One worker for every two processors, one of which seals and one of which opens.
fn default_workers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, MAX_WORKERS)
}

pub(super) fn ring(event: &OwnedFd) {
    // It can fail only when it is about to overflow, and then it has been rung.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}
