//! `scrape.yml`, for Prometheus.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::{RenderError, RenderedFile, Renderer};
use crate::layout::Layout;
use crate::member::Member;

/// How Prometheus reaches the nodes' metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scrape {
    /// This node's own metrics, on loopback, in the clear.
    #[default]
    Loopback,
    /// Every member's metrics, at its mesh address and the same port, over mutual TLS with this
    /// node's certificate.
    Mesh,
}

impl Renderer<'_> {
    /// Renders the scrape configuration, for `scrape_config_files` or as a file of its own.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn prometheus(&self) -> Result<RenderedFile, RenderError> {
        let port = self.plan.health().port;
        let mut out = self.header();
        out.push_str("scrape_configs:\n  - job_name: \"swarm\"\n");
        if self.scrape == Scrape::Mesh {
            let (ca, cert) = (
                self.layout.trust(self.node),
                self.layout.tls_chain(self.node),
            );
            let key = self.layout.tls_key(self.node);
            write!(
                out,
                "    scheme: \"https\"\n    tls_config:\n      ca_file: \"{ca}\"\n      \
                 cert_file: \"{cert}\"\n      key_file: \"{key}\"\n      min_version: \"TLS13\"\n"
            )
            .expect("a String takes everything");
        }
        out.push_str("    static_configs:\n");
        match self.scrape {
            Scrape::Loopback => {
                out.push_str(&target(&format!("127.0.0.1:{port}"), self.node.as_str()));
            }
            Scrape::Mesh => {
                for member in self.sorted_members()? {
                    if let Some(address) = mesh_address(member) {
                        let at = SocketAddr::new(address, port).to_string();
                        out.push_str(&target(&at, member.id.as_str()));
                    }
                }
            }
        }
        Ok(RenderedFile {
            path: Layout::SCRAPE_YML,
            contents: out,
            mode: 0o644,
        })
    }
}

/// The first address: an IPv4 one where there is one.
fn mesh_address(member: &Member) -> Option<IpAddr> {
    member.addresses.first().copied()
}

fn target(at: &str, node: &str) -> String {
    format!("      - targets: [\"{at}\"]\n        labels:\n          node: \"{node}\"\n")
}
