//! The servers of a hub: nats-server and Synapse, from rendered configuration, kept alive.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use swarm_pki::NodeCertificate;

use crate::authority::Authority;
use crate::error::Error;
use crate::file;
use crate::member::Member;

use super::shown::Shown;
use super::supervisor::{Program, Supervised};

/// How long the servers may take to come up at first.
const START: Duration = Duration::from_secs(60);

/// The programs of the servers, found before anything is made.
#[derive(Debug)]
pub(crate) struct Programs {
    nats: String,
    synapse: String,
}

impl Programs {
    /// Finds the programs in PATH.
    pub(crate) fn find() -> Result<Self, Error> {
        Ok(Self {
            nats: find_nats()?,
            synapse: find(
                "synapse_homeserver",
                "install Synapse (PyPI: pip install 'matrix-synapse[jwt]')",
            )?,
        })
    }
}

/// Both servers of a hub.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) nats: Supervised,
    pub(crate) synapse: Supervised,
    shown: Shown,
}

impl Services {
    /// Renders the configuration and starts both servers, which come up in the background.
    pub(crate) fn start(
        member: &Member,
        authority: &Authority,
        programs: Programs,
    ) -> Result<Self, Error> {
        authority.render(member.id())?;
        let layout = member.layout();
        let rendered = layout.rendered();
        for directory in [rendered.nats_store(), rendered.matrix_data()] {
            file::private_directory(directory.as_ref()).map_err(Error::file(directory.as_ref()))?;
        }
        let plan = member.plan();
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for (port, what) in [
            (plan.nats().monitor_port, "NATS monitoring"),
            (plan.matrix().client_port, "Synapse"),
            (plan.matrix().metrics_port, "Synapse's metrics"),
        ] {
            require_free(loopback(port), what)?;
        }
        require_free(plan.nats_address(), "NATS")?;
        let program = |name, command: [String; 3], health| Program {
            name,
            command: command.into(),
            log: layout.log(name),
            health,
        };
        let services = Self {
            shown: Shown::default(),
            nats: Supervised::start(program(
                "nats-server",
                [programs.nats, "-c".to_owned(), rendered.nats_conf()],
                (loopback(plan.nats().monitor_port), "/healthz"),
            )),
            synapse: Supervised::start(program(
                "synapse",
                [
                    programs.synapse,
                    "-c".to_owned(),
                    rendered.homeserver_yaml(),
                ],
                (loopback(plan.matrix().client_port), "/health"),
            )),
        };
        services.shown.differs(member);
        Ok(services)
    }

    /// Waits until both answer.
    pub(crate) async fn ready(&self, member: &Member) -> Result<(), Error> {
        for service in self.all() {
            service
                .ready(START)
                .await
                .map_err(|reason| Error::Service {
                    service: service.name(),
                    reason,
                    log: member.layout().log(service.name()),
                })?;
        }
        Ok(())
    }

    /// Renders the configuration for a changed roster, and has nats-server read it: a user who is gone from
    /// it is cut off. Where nodes have buses of their own the server starts again.
    pub(crate) fn follow<'a>(
        &self,
        member: &Member,
        authority: &Authority,
        roster: impl Iterator<Item = &'a NodeCertificate>,
    ) -> Result<(), Error> {
        let changed = authority.write(authority.rendered(member.id(), roster)?)?;
        let conf = PathBuf::from(member.layout().rendered().nats_conf());
        if self.shown.differs(member) || changed.contains(&conf) {
            // of an account that comes by a reload, 2.9.10 answers no request to JetStream through another
            // account, and what the hub takes from such an account may stand still after the next
            match member.plan().leaves().next() {
                Some(_) => self.nats.restart(),
                None => self.nats.reload(),
            }
        }
        Ok(())
    }

    pub(crate) fn all(&self) -> [&Supervised; 2] {
        [&self.nats, &self.synapse]
    }

    /// Ends both.
    pub(crate) async fn stop(&self) {
        tokio::join!(self.nats.stop(), self.synapse.stop());
    }
}

/// Finds nats-server, and what starts it.
pub(super) fn find_nats() -> Result<String, Error> {
    find(
        "setpriv",
        "install util-linux (Debian: apt-get install util-linux)",
    )?;
    find(
        "nats-server",
        "install it (Debian: apt-get install nats-server)",
    )
}

/// Finds a program in PATH, the way a shell does.
fn find(program: &'static str, install: &'static str) -> Result<String, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .and_then(|file| file.to_str().map(str::to_owned))
        .ok_or(Error::MissingProgram { program, install })
}

/// Fails when a port is taken: a server would fail as well, but say so in its log only.
pub(super) fn require_free(address: SocketAddr, what: &'static str) -> Result<(), Error> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Listen {
            address: address.to_string(),
            what,
            source,
        }),
    }
}
