//! An invite becomes a node: keys made here, a certificate asked for, trust and plan fetched.

use bytes::Bytes;
use http::Method;
use swarm_pki::enroll::{Client, Invite};
use swarm_pki::tls::{Expected, MeshTls};
use swarm_pki::{NodeCertificate, NodeId, PrivateKey, SerialNumber, Timestamp, TrustBundle};

use crate::error::Error;
use crate::identity::{self, Identity};
use crate::layout::Layout;
use crate::member::{Member, parse_plan};
use crate::node::interface::{BUNDLE, CONFIG};
use crate::{file, secrets};

/// A node that has just come into being.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Joined {
    /// The swarm that it belongs to.
    pub swarm: swarm_pki::SwarmName,
    /// Its id.
    pub node: NodeId,
    /// Its addresses in the mesh.
    pub addresses: Vec<std::net::IpAddr>,
    /// The serial number of its certificate.
    pub serial: SerialNumber,
    /// The end of its certificate.
    pub not_after: Timestamp,
}

impl Joined {
    pub(crate) fn new(certificate: &NodeCertificate) -> Self {
        let identity = certificate.identity();
        Self {
            swarm: identity.swarm.clone(),
            node: identity.id.clone(),
            addresses: identity.addresses.clone(),
            serial: certificate.serial(),
            not_after: certificate.not_after(),
        }
    }
}

/// Joins a swarm by an invite: makes the node's keys in `layout`, has them certified, and fetches what a
/// node must know before its first start.
///
/// # Errors
///
/// When there is such a node already, no authority can be reached, or the invite is refused. Nothing is left
/// behind then.
pub async fn join(layout: &Layout, invite: &Invite) -> Result<Joined, Error> {
    let id = invite.node();
    let node = layout.node(id);
    if node.identity().exists() {
        return Err(Error::Exists {
            what: format!("the node {id} in {}", layout.nodes().display()),
        });
    }
    let made = Made::note(layout, &node);
    let result = enrol(layout, invite).await;
    if result.is_err() {
        made.undo();
    }
    result
}

async fn enrol(layout: &Layout, invite: &Invite) -> Result<Joined, Error> {
    let id = invite.node();
    let node = layout.node(id);
    file::private_directory(node.directory()).map_err(Error::file(node.directory()))?;
    let (key, request) = secrets::request(invite.swarm(), id, &node)?;
    let enrolled = Client::default().join(invite, &request).await?;
    let refused = |reason: String| Error::Refused {
        by: "the authority".to_owned(),
        reason,
    };

    let mut trust = enrolled.trust;
    let identity = Identity::new(key, enrolled.certificate, vec![enrolled.issuer]);
    let key = identity.key.to_pkcs8_der();
    let key = PrivateKey::from_pkcs8_der(&key).map_err(swarm_pki::Error::from)?;
    let tls = MeshTls::new(&identity.chain, key, trust.clone())
        .map_err(|error| refused(error.to_string()))?;

    let ask = async |path: &str| {
        let authority = Expected::Node(invite.authority().clone());
        Member::ask(
            &tls,
            enrolled.address,
            authority,
            Method::GET,
            path,
            Bytes::new(),
        )
        .await
    };
    let bundle =
        TrustBundle::from_der(&ask(BUNDLE).await?).map_err(|error| refused(error.to_string()))?;
    let config = ask(CONFIG).await?;
    let config = std::str::from_utf8(&config).map_err(|error| refused(error.to_string()))?;
    let path = layout.config();
    parse_plan(config, &path)?;

    trust.merge(&bundle, Timestamp::now());
    identity::save_trust(&node, &trust)?;
    file::replace(&path, config.as_bytes(), 0o644).map_err(Error::file(&path))?;
    // the identity last: with it the node exists
    identity.save(&node)?;
    let certificate = &identity.certificate;
    Ok(Joined::new(certificate))
}

/// What was there before, so that a join that failed leaves nothing behind.
struct Made {
    absent: Vec<std::path::PathBuf>,
}

impl Made {
    fn note(layout: &Layout, node: &crate::layout::NodeLayout) -> Self {
        let paths = [
            layout.root().to_owned(),
            layout.nodes(),
            node.directory().to_owned(),
            layout.config(),
        ];
        Self {
            absent: paths.into_iter().filter(|path| !path.exists()).collect(),
        }
    }

    fn undo(self) {
        // the deepest first; a directory that is not ours alone is not empty and stays
        for path in self.absent.iter().rev() {
            let removed = if path.ends_with("swarm.toml") {
                std::fs::remove_file(path)
            } else if path
                .parent()
                .is_some_and(|parent| parent.ends_with("nodes"))
            {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_dir(path)
            };
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::debug!(path = %path.display(), %error, "cannot be removed");
            }
        }
    }
}
