//! Where a type of one library becomes a type of another: the only file that knows two of them at a time.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use swarm_bus::permissions::{Leaf, Permissions, Policy};
use swarm_config::{
    NatsAsked, NatsLeaf, NatsPermissions, NatsSubject, NatsUser, Plan, RenderError, Span,
    SubjectRules, WireGuardPublicKey,
};
use swarm_pki::{NodeCertificate, NodeId, NodeIdentity};

use crate::error::Error;

/// The same id as the configuration's type; both are lower-case DNS labels.
pub(crate) fn config_id(id: &NodeId) -> swarm_config::NodeId {
    swarm_config::NodeId::parse(id.as_str()).expect("both are lower-case DNS labels")
}

/// The same id as the authority's type; both are lower-case DNS labels.
pub(crate) fn node_id(id: &swarm_config::NodeId) -> NodeId {
    id.as_str().parse().expect("both are lower-case DNS labels")
}

/// The same id as a token of a subject.
pub(crate) fn token(id: &NodeId) -> swarm_bus::Token {
    swarm_bus::Token::parse(id.as_str()).expect("a lower-case DNS label is a token")
}

/// The same moment as the bus writes it.
pub(crate) fn bus_time(time: swarm_pki::Timestamp) -> swarm_bus::topics::Timestamp {
    swarm_bus::topics::Timestamp(time.as_unix().saturating_mul(1000))
}

/// The roles that mean something on the bus.
pub(crate) fn bus_roles(identity: &NodeIdentity) -> Vec<swarm_bus::permissions::Role> {
    identity
        .roles
        .iter()
        .filter_map(|role| role.as_str().parse().ok())
        .collect()
}

/// A node's tunnel key as a type of the tunnel.
pub(crate) fn tunnel_key(identity: &NodeIdentity) -> swarm_wg::PublicKey {
    swarm_wg::PublicKey::from_bytes(identity.wireguard_public_key)
}

/// Addresses as routes to one host each.
pub(crate) fn host_routes(addresses: &[IpAddr]) -> Vec<IpNet> {
    addresses.iter().copied().map(IpNet::from).collect()
}

/// A node's addresses with the mesh's prefix, so that the kernel routes the whole mesh to the interface.
pub(crate) fn interface_addresses(identity: &NodeIdentity, plan: &Plan) -> Vec<IpNet> {
    let prefix = |address: &IpAddr| match address {
        IpAddr::V4(_) => plan.mesh().v4().prefix_len(),
        IpAddr::V6(_) => plan.mesh().v6().prefix_len(),
    };
    let network = |address: &IpAddr| {
        IpNet::new(*address, prefix(address)).expect("a network's prefix is valid")
    };
    identity.addresses.iter().map(network).collect()
}

/// A certificate as a member of the rendered configuration, with what its roles allow it on the bus, its own
/// one where it has one.
pub(crate) fn member(
    node: &NodeCertificate,
    endpoint: Option<SocketAddr>,
    plan: &Plan,
) -> Result<swarm_config::Member, Error> {
    let identity = node.identity();
    let render = |error: swarm_config::ValueError| Error::Render(error.to_string());
    let key = WireGuardPublicKey::parse(&tunnel_key(identity).to_string()).map_err(render)?;
    let user = NatsUser::parse(&identity.spiffe_id().to_string()).map_err(render)?;
    let mut member = swarm_config::Member::new(
        config_id(&identity.id),
        identity.addresses.iter().copied(),
        key,
        user,
    );
    for role in &identity.roles {
        member
            .roles
            .insert(swarm_config::Role::parse(role.as_str()).map_err(render)?);
    }
    member.endpoint = endpoint;
    let policy = Policy::mesh();
    if plan.is_leaf(&member.id) {
        let leaf = leaf(token(&identity.id), &bus_roles(identity));
        member.nats = permissions(&leaf.local(&policy)).map_err(render)?;
        member.leaf = Some(crossing(&leaf, &policy).map_err(render)?);
    } else {
        let allowed = policy.permissions(&token(&identity.id), &bus_roles(identity));
        member.nats = permissions(&allowed).map_err(render)?;
    }
    Ok(member)
}

/// What a node with a bus of its own keeps there, and what crosses the link to the hub's.
pub(crate) fn leaf(node: swarm_bus::Token, roles: &[swarm_bus::permissions::Role]) -> Leaf {
    let streams = swarm_bus::topics::leaf_streams(&node);
    Leaf::new(node, roles, streams)
}

/// The nodes of the plan that have a bus of their own, as the hub's bus knows them.
pub(crate) fn leaves(plan: &Plan) -> Vec<Leaf> {
    let leaf = |node: &swarm_config::NodePlan| {
        let roles = node.roles.iter();
        let roles: Vec<_> = roles
            .filter_map(|role| role.as_str().parse().ok())
            .collect();
        leaf(token(&node_id(&node.id)), &roles)
    };
    plan.leaves().map(leaf).collect()
}

fn crossing(leaf: &Leaf, policy: &Policy) -> Result<NatsLeaf, swarm_config::ValueError> {
    let crossing = leaf.crossing(policy);
    let asked = |asked: &swarm_bus::permissions::Asked| {
        Ok::<_, swarm_config::ValueError>(NatsAsked {
            subject: NatsSubject::parse(&asked.subject)?,
            at_leaf: NatsSubject::parse(&asked.at_leaf)?,
            several: asked.several,
        })
    };
    Ok(NatsLeaf {
        link: permissions(&leaf.link(policy))?,
        up: subjects(&crossing.up)?,
        down: subjects(&crossing.down)?,
        serves: subjects(&crossing.serves)?,
        asks: crossing.asks.iter().map(asked).collect::<Result<_, _>>()?,
    })
}

fn subjects(texts: &[String]) -> Result<BTreeSet<NatsSubject>, swarm_config::ValueError> {
    texts.iter().map(|text| NatsSubject::parse(text)).collect()
}

fn permissions(allowed: &Permissions) -> Result<NatsPermissions, swarm_config::ValueError> {
    let rules = |allow: &[String], deny: &[String]| {
        Ok::<_, swarm_config::ValueError>(SubjectRules {
            allow: subjects(allow)?,
            deny: subjects(deny)?,
        })
    };
    Ok(NatsPermissions {
        publish: rules(&allowed.publish_allow, &allowed.publish_deny)?,
        subscribe: rules(&allowed.subscribe_allow, &allowed.subscribe_deny)?,
        allow_responses: allowed
            .allow_responses
            .map(|responses| swarm_config::AllowResponses {
                max: responses.max,
                expires: Span::from_secs(responses.expires.as_secs()),
            }),
    })
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        Self::Render(error.to_string())
    }
}

/// The same role as the authority's type.
pub(crate) fn role(role: &swarm_config::Role) -> swarm_pki::Role {
    role.as_str().parse().expect("both are lower-case labels")
}

/// The address of a bus server.
pub(crate) fn bus_server(address: SocketAddr) -> swarm_bus::client::ServerAddr {
    address
        .to_string()
        .parse()
        .expect("an address and a port are a server's address")
}

/// An alert of the bus as an alert of the rooms.
pub(crate) fn room_alert(
    node: &swarm_bus::Token,
    alert: &swarm_bus::topics::Alert,
    at: swarm_bus::topics::Timestamp,
) -> swarm_matrix::Alert {
    use swarm_bus::topics::Severity as Heard;
    use swarm_matrix::Severity;
    let severity = match alert.severity {
        Heard::Info => Severity::Info,
        Heard::Warning => Severity::Warning,
        Heard::Critical => Severity::Critical,
    };
    // alerts of two nodes under one key are two alerts
    let key = format!("{node}/{}", alert.key);
    let mut routed = swarm_matrix::Alert::new(key, severity, alert.summary.clone(), at.0)
        .with_label("node", node.as_str());
    if let Some(detail) = &alert.detail {
        routed = routed.with_detail(detail.clone());
    }
    for (name, value) in &alert.labels {
        routed = routed.with_label(name.clone(), value.clone());
    }
    if alert.resolved {
        routed.resolved(at.0)
    } else {
        routed
    }
}

/// The state of the bus in words.
pub(crate) fn bus_state(state: &swarm_bus::client::State) -> String {
    use swarm_bus::client::State;
    match state {
        State::Connecting {
            attempts,
            error: Some(error),
        } => {
            format!(
                "connecting, {attempts} attempts failed: {}",
                crate::error::chain(error.as_ref())
            )
        }
        State::Connecting { .. } => "connecting".to_owned(),
        State::Connected { server } => format!(
            "connected to {} (nats-server {})",
            server.address, server.version
        ),
        State::Refused { error } => format!("refused: {}", crate::error::chain(error.as_ref())),
        State::Draining => "draining".to_owned(),
        _ => "closed".to_owned(),
    }
}
