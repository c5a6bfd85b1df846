//! Where everything of a swarm lies on a machine.

use std::path::{Path, PathBuf};

use swarm_config::AbsolutePath;
use swarm_pki::NodeId;

use crate::error::Error;
use crate::wire;

/// A swarm's directory: what [`swarm_config::Layout`] renders and reads, and beside it what a running node
/// keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    rendered: swarm_config::Layout,
}

impl Layout {
    /// Describes the swarm's directory at `root`, made absolute; nothing is touched.
    ///
    /// # Errors
    ///
    /// When the path cannot stand in configuration files as it is: it has white space or quotes.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, Error> {
        let given = root.as_ref();
        // what is not there yet has no links to follow; collecting leaves out `.` and a last `/`
        let root = given
            .canonicalize()
            .or_else(|_| std::path::absolute(given).map(|path| path.components().collect()))
            .map_err(Error::file(given))?;
        let text = root.to_str().ok_or_else(|| Error::Directory {
            path: root.clone(),
            reason: "it is not valid UTF-8".to_owned(),
        })?;
        let path = AbsolutePath::parse(text).map_err(|error| Error::Directory {
            path: root.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            root,
            rendered: swarm_config::Layout::new(path),
        })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The paths that rendered files name.
    pub fn rendered(&self) -> &swarm_config::Layout {
        &self.rendered
    }

    /// The one file that describes the swarm.
    pub fn config(&self) -> PathBuf {
        self.rendered.swarm_toml().into()
    }

    /// The authority's private directory.
    pub fn authority(&self) -> PathBuf {
        self.rendered.ca_state().into()
    }

    /// Where the nodes of this machine lie.
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// A node of this machine.
    pub fn node(&self, id: &NodeId) -> NodeLayout {
        NodeLayout {
            directory: self.rendered.node(&wire::config_id(id)).into(),
        }
    }

    /// The node `id` of this machine, or the only one there is.
    ///
    /// # Errors
    ///
    /// When there is no such node, or several and none was named.
    pub fn find_node(&self, id: Option<&NodeId>) -> Result<NodeLayout, Error> {
        let directory = self.nodes();
        if let Some(id) = id {
            let node = self.node(id);
            return if node.identity().exists() {
                Ok(node)
            } else {
                Err(Error::NoNode {
                    directory: node.directory,
                })
            };
        }
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoNode { directory });
            }
            entries => entries.map_err(Error::file(&directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(Error::file(&directory))?;
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<NodeId>().ok());
            found.extend(id.filter(|id| self.node(id).identity().exists()));
        }
        found.sort_unstable();
        match found.as_slice() {
            [] => Err(Error::NoNode { directory }),
            [only] => Ok(self.node(only)),
            _ => Err(Error::SeveralNodes {
                directory,
                found: found.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    /// What the supervised server `name` prints.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    /// The seed of the key that signs the rooms' login tokens, on a hub.
    pub(crate) fn token_seed(&self) -> PathBuf {
        self.root.join("matrix/token.seed")
    }
}

/// A node's directory, 0700.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLayout {
    directory: PathBuf,
}

impl NodeLayout {
    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The TLS key and the certificate chain in one PEM file, so that both change at once.
    pub fn identity(&self) -> PathBuf {
        self.directory.join("identity.pem")
    }

    /// The names under which other programs read [`identity`](Self::identity): `tls.key` and `tls.crt`.
    pub(crate) fn identity_links(&self) -> [PathBuf; 2] {
        ["tls.key", "tls.crt"].map(|name| self.directory.join(name))
    }

    /// The tunnel's private key, base64.
    pub fn wireguard_key(&self) -> PathBuf {
        self.directory.join("wireguard.key")
    }

    /// The roots that the node trusts, for programs that read PEM certificates.
    pub fn roots(&self) -> PathBuf {
        self.directory.join("trust.pem")
    }

    /// The last good trust bundle: roots, authorities, revocation lists and every node's certificate.
    pub fn bundle(&self) -> PathBuf {
        self.directory.join("trust.bundle")
    }

    /// Where other nodes were last seen, a hint for a start with nobody to ask.
    pub fn endpoints(&self) -> PathBuf {
        self.directory.join("endpoints.json")
    }

    /// The latest handshake of the last run: a clock that stands before it is behind.
    pub(crate) fn handshake_floor(&self) -> PathBuf {
        self.directory.join("handshake.floor")
    }

    /// The key and the request of a node that waits for its grant.
    pub(crate) fn pending(&self) -> PathBuf {
        self.directory.join("pending.pem")
    }

    /// Held by the one process that runs this node.
    pub fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// Where the running node answers commands of this machine.
    pub fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// The events of the node that the bus does not have yet.
    pub fn spool(&self) -> PathBuf {
        self.directory.join("spool")
    }

    /// The node's Matrix session and its keys.
    pub fn matrix(&self) -> PathBuf {
        self.directory.join("matrix")
    }
}
