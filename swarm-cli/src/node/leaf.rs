//! The bus of a node that has one of its own: nats-server as a leaf node of the hub's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use swarm_bus::monitor::Varz;
use tokio::sync::watch;

use crate::error::Error;
use crate::file;
use crate::http;
use crate::member::Member;
use crate::status::LinkStatus;

use super::services::{find_nats, require_free};
use super::shown::Shown;
use super::supervisor::{Program, Supervised};

/// How often the server is asked for its link.
const LOOK: Duration = Duration::from_secs(2);

/// The node's own nats-server.
#[derive(Debug)]
pub(crate) struct OwnBus {
    pub(crate) nats: Supervised,
    shown: Shown,
    link: watch::Receiver<LinkStatus>,
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
            shown: Shown::default(),
            link: watch_link(monitor),
            nats: Supervised::start(Program {
                name: "nats-server",
                command: vec![program, "-c".to_owned(), layout.rendered().nats_conf()],
                log: layout.log("nats-server"),
                health: (monitor, "/healthz"),
            }),
        };
        own.shown.differs(member);
        Ok(own)
    }

    /// Has the server show the certificate of the moment: it reads that of its link when it starts.
    pub(crate) fn follow(&self, member: &Member) {
        if self.shown.differs(member) {
            self.nats.restart();
        }
    }

    /// The link to the hub's bus, as the server said a moment ago.
    pub(crate) fn link(&self) -> LinkStatus {
        self.link.borrow().clone()
    }
}

/// Asks the server again and again for its link, as long as somebody wants to know.
fn watch_link(monitor: SocketAddr) -> watch::Receiver<LinkStatus> {
    let (report, link) = watch::channel(link_status(None));
    tokio::spawn(async move {
        loop {
            let body = http::get(monitor, "/varz").await.ok();
            let varz = body.and_then(|body| Varz::parse(&body).ok());
            report.send_replace(link_status(varz.as_ref()));
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = report.closed() => return,
            }
        }
    });
    link
}

/// What the figures of a leaf node's server say of its link, the only one that it has.
fn link_status(varz: Option<&Varz>) -> LinkStatus {
    let (connected, state) = match varz {
        None => (false, "its server does not answer"),
        Some(varz) if varz.leafnodes == 0 => (
            false,
            "not connected, its server tries again; what it keeps waits",
        ),
        Some(_) => (true, "connected"),
    };
    LinkStatus {
        connected,
        state: state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_there_when_the_server_counts_one() {
        let said = |json: &str| link_status(Some(&Varz::parse(json.as_bytes()).unwrap()));
        assert!(said(r#"{"leafnodes":1}"#).connected);
        assert!(!said(r#"{"leafnodes":0}"#).connected);
        let silent = link_status(None);
        assert!(!silent.connected && silent.state.contains("does not answer"));
    }
}
