//! Why something about a node or an authority failed.

use std::io;
use std::path::{Path, PathBuf};

use swarm_pki::NodeId;

use crate::http::HttpError;

/// Why something about a node or an authority failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there, but is not what it should be.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory cannot be a swarm's.
    #[error("{} cannot be a swarm's directory: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// `swarm.toml` is wrong; the text says what and where.
    #[error("{}: {problems}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong in it.
        problems: String,
    },
    /// There is no node on this machine yet.
    #[error("there is no node in {}", directory.display())]
    NoNode {
        /// Where nodes would be.
        directory: PathBuf,
    },
    /// There are several nodes, and none was named.
    #[error("there are several nodes in {}: {}", directory.display(), found.join(", "))]
    SeveralNodes {
        /// Where they are.
        directory: PathBuf,
        /// Their ids.
        found: Vec<String>,
    },
    /// There is no authority on this machine.
    #[error("there is no authority in {}", directory.display())]
    NoAuthority {
        /// Where it would be.
        directory: PathBuf,
    },
    /// Something exists already.
    #[error("{what} already exists")]
    Exists {
        /// What exists.
        what: String,
    },
    /// Another process runs this node.
    #[error("{} is held by process {pid}", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it.
        pid: String,
    },
    /// The node's certificate cannot be used at this moment.
    #[error("the certificate of {node} {reason}")]
    Certificate {
        /// The node.
        node: NodeId,
        /// Why not, with the clock named where it may be wrong.
        reason: String,
    },
    /// A port is taken, or an address is not this machine's.
    #[error("cannot listen on {address} for {what}")]
    Listen {
        /// The address and port.
        address: String,
        /// What would have listened.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program that the node needs is not installed.
    #[error("{program} is not in PATH")]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// How one gets it.
        install: &'static str,
    },
    /// A supervised server does not come up.
    #[error("{service} does not come up: {reason}; its log: {}", log.display())]
    Service {
        /// The server.
        service: &'static str,
        /// How it ended.
        reason: String,
        /// Where it logs.
        log: PathBuf,
    },
    /// The authority refused or failed.
    #[error(transparent)]
    Authority(#[from] swarm_pki::store::Error),
    /// An invite could not be made.
    #[error(transparent)]
    Invite(#[from] swarm_pki::enroll::CreateInviteError),
    /// Joining or renewing failed.
    #[error(transparent)]
    Enroll(#[from] swarm_pki::enroll::JoinError),
    /// Something about certificates or keys failed.
    #[error(transparent)]
    Pki(#[from] swarm_pki::Error),
    /// A rendered file could not be made.
    #[error("cannot render the configuration: {0}")]
    Render(String),
    /// The tunnel failed.
    #[error("the tunnel failed")]
    Tunnel(#[from] swarm_wg::Error),
    /// The spool of events in the node's directory cannot be used.
    #[error("{}", path.display())]
    Spool {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        source: swarm_bus::spool::OpenError,
    },
    /// An event of the node is not on disk.
    #[error("the event is not spooled")]
    NotSpooled(#[from] swarm_bus::spool::PutError),
    /// The rooms failed.
    #[error("the rooms failed")]
    Rooms(#[from] swarm_matrix::Error),
    /// A request to this machine failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A request to another node failed.
    #[error("no answer from {node}")]
    Peer {
        /// The other node.
        node: String,
        /// Why not.
        source: swarm_pki::tls::http::Error,
    },
    /// Another node, or the running node of this machine, refused.
    #[error("{by} refused: {reason}")]
    Refused {
        /// Who refused.
        by: String,
        /// What it said.
        reason: String,
    },
}

impl Error {
    /// Says which file it was about.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Says an error and all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
