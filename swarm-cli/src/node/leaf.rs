//! The bus of a node that has one of its own: nats-server as a leaf node of the hub's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use swarm_pki::{Certificate, Fingerprint};

use crate::error::Error;
use crate::file;
use crate::member::Member;

use super::services::{find_nats, require_free};
use super::supervisor::{Program, Supervised};

/// The node's own nats-server.
#[derive(Debug)]
pub(crate) struct OwnBus {
    pub(crate) nats: Supervised,
    /// The roots and the certificate that it was last started with.
    read: Mutex<Vec<Fingerprint>>,
}

impl OwnBus {
    /// Renders the configuration and starts the server, which comes up in the background.
    pub(crate) fn start(member: &Member) -> Result<Self, Error> {
        let program = find_nats()?;
        let (layout, plan) = (member.layout(), member.plan());
        let rendered = member.rendered_bus()?;
        let (conf, store) = (
            layout.root().join(rendered.path),
            layout.rendered().nats_store(),
        );
        let store = Path::new(&store);
        file::private_directory(store).map_err(Error::file(store))?;
        file::replace(&conf, rendered.contents.as_bytes(), rendered.mode)
            .map_err(Error::file(&conf))?;
        let monitor = SocketAddr::from((Ipv4Addr::LOCALHOST, plan.nats().leaf.monitor_port));
        require_free(monitor, "NATS monitoring")?;
        require_free(plan.leaf_address(), "NATS")?;
        let own = Self {
            read: Mutex::default(),
            nats: Supervised::start(Program {
                name: "nats-server",
                command: vec![program, "-c".to_owned(), layout.rendered().nats_conf()],
                log: layout.log("nats-server"),
                health: (monitor, "/healthz"),
            }),
        };
        own.shows_other_files(member);
        Ok(own)
    }

    /// Has the server show the certificate of the moment: it reads that of its link when it starts.
    pub(crate) fn follow(&self, member: &Member) {
        if self.shows_other_files(member) {
            self.nats.restart();
        }
    }

    /// Tells whether the roots or the certificate are others than when it was last asked.
    fn shows_other_files(&self, member: &Member) -> bool {
        let tls = member.tls();
        let mut files: Vec<Fingerprint> =
            tls.trust().roots().map(Certificate::fingerprint).collect();
        files.push(tls.certificate().fingerprint());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *read, files.clone()) != files
    }
}
