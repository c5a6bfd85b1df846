//! Where everything of a swarm lies on a disk.

use crate::value::{AbsolutePath, NodeId};

/// The directory of a swarm and every path in it.
///
/// ```text
/// <root>/swarm.toml                  what the operator writes
/// <root>/ca/state/                   private data of the authority
/// <root>/nats/nats-server.conf       rendered; store/ and nats.pid beside it
/// <root>/matrix/homeserver.yaml      rendered, log.yaml too; data/ and keys beside them
/// <root>/wireguard/wg0.conf          rendered
/// <root>/nodes/<id>/                 files of one node: tls.key, tls.crt, trust.pem, wireguard.key
/// <root>/systemd/swarm.service       rendered
/// <root>/prometheus/scrape.yml       rendered
/// ```
///
/// Methods return absolute paths; the constants name the rendered files below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: AbsolutePath,
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident => $path:expr;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> String {
                self.root.join($path)
            }
        )*
    };
}

impl Layout {
    /// The operator's file.
    pub const SWARM_TOML: &str = "swarm.toml";
    /// The configuration of nats-server.
    pub const NATS_CONF: &str = "nats/nats-server.conf";
    /// The configuration of Synapse.
    pub const HOMESERVER_YAML: &str = "matrix/homeserver.yaml";
    /// The configuration of Synapse's log.
    pub const LOG_YAML: &str = "matrix/log.yaml";
    /// The configuration of wg-quick.
    pub const WG_CONF: &str = "wireguard/wg0.conf";
    /// The systemd unit.
    pub const SERVICE: &str = "systemd/swarm.service";
    /// The scrape configuration of Prometheus.
    pub const SCRAPE_YML: &str = "prometheus/scrape.yml";

    /// Every path that a file is rendered to.
    pub const RENDERED: [&str; 6] = [
        Self::HOMESERVER_YAML,
        Self::LOG_YAML,
        Self::NATS_CONF,
        Self::SCRAPE_YML,
        Self::SERVICE,
        Self::WG_CONF,
    ];

    /// Makes the layout of a directory.
    #[must_use]
    pub fn new(root: AbsolutePath) -> Self {
        Self { root }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &AbsolutePath {
        &self.root
    }

    /// The absolute path of a path below the root.
    #[must_use]
    pub fn path(&self, relative: &str) -> String {
        self.root.join(relative)
    }

    paths! {
        /// The operator's file.
        swarm_toml => Self::SWARM_TOML;
        /// Directory of the authority's private data.
        ca_state => "ca/state";
        /// The configuration of nats-server.
        nats_conf => Self::NATS_CONF;
        /// Directory of nats-server's streams.
        nats_store => "nats/store";
        /// The file that nats-server writes its process id to.
        nats_pid => "nats/nats.pid";
        /// The configuration of Synapse.
        homeserver_yaml => Self::HOMESERVER_YAML;
        /// The configuration of Synapse's log.
        log_yaml => Self::LOG_YAML;
        /// Directory of Synapse's data.
        matrix_data => "matrix/data";
        /// The file of Synapse's signing key. Synapse makes it at its first start.
        matrix_signing_key => "matrix/signing.key";
        /// The file of the secret that lets its holder register accounts, administrators too, and
        /// that access tokens are signed with. Synapse makes it at its first start.
        matrix_registration_secret => "matrix/registration.secret";
        /// The file that Synapse writes its process id to.
        matrix_pid => "matrix/homeserver.pid";
        /// The configuration of wg-quick.
        wg_conf => Self::WG_CONF;
        /// The systemd unit.
        service => Self::SERVICE;
        /// The scrape configuration of Prometheus.
        scrape_yml => Self::SCRAPE_YML;
    }

    /// Directory of a node's own files.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> String {
        self.root.join(&format!("nodes/{id}"))
    }

    /// A node's private TLS key, in PEM.
    #[must_use]
    pub fn tls_key(&self, id: &NodeId) -> String {
        self.root.join(&format!("nodes/{id}/tls.key"))
    }

    /// A node's certificate and the issuing one, in PEM.
    #[must_use]
    pub fn tls_chain(&self, id: &NodeId) -> String {
        self.root.join(&format!("nodes/{id}/tls.crt"))
    }

    /// The root certificates that a node trusts, in PEM.
    #[must_use]
    pub fn trust(&self, id: &NodeId) -> String {
        self.root.join(&format!("nodes/{id}/trust.pem"))
    }

    /// A node's private WireGuard key, in base64 as `wg` reads it.
    #[must_use]
    pub fn wireguard_key(&self, id: &NodeId) -> String {
        self.root.join(&format!("nodes/{id}/wireguard.key"))
    }
}
