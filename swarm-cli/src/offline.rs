//! Joining without a connection: a request is carried to the authority, a grant is carried back.

use swarm_pki::enroll::{Accepted, GrantFile};
use swarm_pki::{CertificateRequest, Fingerprint, NodeId, PrivateKey, Role, SwarmName, Timestamp};

use crate::authority::Authority;
use crate::error::{Error, chain};
use crate::identity::{self, Identity};
use crate::join::Joined;
use crate::layout::{Layout, NodeLayout};
use crate::member::parse_plan;
use crate::{file, secrets};

/// Under which label a grant carries `swarm.toml`.
const PLAN: &str = "swarm.toml";

/// Makes the keys of a node on this machine and a request for its certificate, as PEM.
///
/// Asked again, it makes a new request with a new key; a grant for the earlier one is good no more. A node
/// that is there already, expired perhaps, keeps its identity until a grant is accepted.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn request(layout: &Layout, swarm: &SwarmName, id: &NodeId) -> Result<String, Error> {
    let node = layout.node(id);
    file::private_directory(node.directory()).map_err(Error::file(node.directory()))?;
    let (key, request) = secrets::request(swarm, id, &node)?;
    let path = node.pending();
    let mut text = key.to_pem();
    text.push_str(&request.to_pem());
    file::replace(&path, text.as_bytes(), 0o600).map_err(Error::file(&path))?;
    Ok(request.to_pem())
}

/// Takes the grant for the request that was made on this machine, and makes it the node.
///
/// `root` is the root's fingerprint, learnt by another way than the grant; without it the node must have a
/// root already, from an earlier life.
///
/// # Errors
///
/// When there is no such request, or anything in the grant does not hold. The node is as it was then.
pub fn accept(layout: &Layout, grant: &str, root: Option<Fingerprint>) -> Result<Joined, Error> {
    let refused = |error: &dyn std::error::Error| Error::Refused {
        by: "this machine".to_owned(),
        reason: chain(error),
    };
    let grant = GrantFile::from_pem(grant).map_err(|error| refused(&error))?;
    let named = grant.certificate().identity();
    let node = layout.node(&named.id);
    let (key, request) = read_pending(&node)?;
    let root = match root {
        Some(root) => root,
        None => pinned(&node)?,
    };
    let swarm = named.swarm.clone();
    let accepted = grant
        .accept(root, &swarm, &request, Timestamp::now())
        .map_err(|error| refused(&error))?;
    let plan = plan_of(&accepted)?;
    let path = layout.config();
    parse_plan(&plan, &path)?;
    // An authority's machine has the plan from its operator, not from a grant.
    if !layout.authority().exists() {
        file::replace(&path, plan.as_bytes(), 0o644).map_err(Error::file(&path))?;
    }
    identity::save_trust(&node, &accepted.trust)?;
    let identity = Identity::new(key, accepted.certificate, vec![accepted.issuer]);
    identity.save(&node)?;
    let pending = node.pending();
    std::fs::remove_file(&pending).map_err(Error::file(&pending))?;
    Ok(Joined::new(&identity.certificate))
}

impl Authority {
    /// Grants what a request that was carried here asks for, and returns what is to be carried back: the
    /// certificate, what to trust, and the plan, signed by this hub.
    ///
    /// # Errors
    ///
    /// When the authority refuses, or this machine has no hub's identity.
    pub fn grant_request(
        &self,
        request: &CertificateRequest,
        id: &NodeId,
        roles: std::collections::BTreeSet<Role>,
        requester: &str,
    ) -> Result<GrantFile, Error> {
        let now = Timestamp::now();
        let mut grant = self.grant(id, now)?;
        if !roles.is_empty() {
            grant.roles = roles;
        }
        let hub = Identity::load(&self.layout().find_node(None)?)?;
        let path = self.layout().config();
        let plan = std::fs::read(&path).map_err(Error::file(&path))?;
        let issued = self.store().issue(request, &grant, requester, now)?;
        let bundle = self.store().bundle(now)?;
        let mut file = GrantFile::new(issued.certificate, issued.issuer, bundle);
        file.attach(PLAN, &plan, &hub.certificate, &hub.key)
            .map_err(|error| Error::Render(chain(&error)))?;
        Ok(file)
    }
}

/// Takes the plan out of a grant; only a hub has a say in it.
fn plan_of(accepted: &Accepted) -> Result<String, Error> {
    let refused = |reason: &str| Error::Refused {
        by: "this machine".to_owned(),
        reason: reason.to_owned(),
    };
    let plan = accepted
        .attachment(PLAN)
        .ok_or_else(|| refused("the grant carries no swarm.toml"))?;
    if !plan.signer.identity().has_role(Role::HUB) {
        return Err(refused(
            "the swarm.toml in the grant is not signed by a hub",
        ));
    }
    String::from_utf8(plan.bytes.clone()).map_err(|_| refused("the swarm.toml is not text"))
}

fn read_pending(node: &NodeLayout) -> Result<(PrivateKey, CertificateRequest), Error> {
    let path = node.pending();
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Refused {
                by: "this machine".to_owned(),
                reason: format!("no request waits in {}", node.directory().display()),
            });
        }
        text => text.map_err(Error::file(&path))?,
    };
    let text = zeroize::Zeroizing::new(text);
    let corrupt = |reason: String| Error::Corrupt {
        path: path.clone(),
        reason,
    };
    let split = text
        .find("-----BEGIN CERTIFICATE REQUEST-----")
        .ok_or_else(|| corrupt("it has no request".to_owned()))?;
    let key = PrivateKey::from_pem(&text[..split]).map_err(|error| corrupt(chain(&error)))?;
    let request =
        CertificateRequest::from_pem(&text[split..]).map_err(|error| corrupt(chain(&error)))?;
    Ok((key, request))
}

/// The root that a node of an earlier life trusts.
fn pinned(node: &NodeLayout) -> Result<Fingerprint, Error> {
    let path = node.roots();
    let unknown = || Error::Refused {
        by: "this machine".to_owned(),
        reason: "no root is known here: give its fingerprint, as swarm ca show prints it"
            .to_owned(),
    };
    let text = std::fs::read_to_string(&path).map_err(|_| unknown())?;
    let roots = swarm_pki::Certificate::from_pem_chain(&text).map_err(|error| Error::Corrupt {
        path,
        reason: chain(&error),
    })?;
    roots
        .first()
        .map(swarm_pki::Certificate::fingerprint)
        .ok_or_else(unknown)
}
