//! A swarm of three nodes to test with.

use std::net::SocketAddr;

use swarm_config::{
    AbsolutePath, AllowResponses, Layout, Member, NatsSubject, NatsUser, NodeId, Plan,
    PublicKeyPem, Role, Span, WireGuardPublicKey,
};

pub(crate) const SWARM_TOML: &str = r#"
[swarm]
name = "swarm"

[nodes.command0]
roles = ["hub"]
endpoint = "203.0.113.10:51820"

[nodes.edge1]
address = "10.77.0.21"
"#;

/// Of the private key of 32 times 0x01, which no test needs.
pub(crate) const LOGIN_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=
-----END PUBLIC KEY-----
";

pub(crate) fn plan() -> Plan {
    Plan::parse(SWARM_TOML).unwrap()
}

pub(crate) fn layout(root: &str) -> Layout {
    Layout::new(AbsolutePath::parse(root).unwrap())
}

pub(crate) fn id(text: &str) -> NodeId {
    NodeId::parse(text).unwrap()
}

pub(crate) fn login_key() -> PublicKeyPem {
    PublicKeyPem::parse(LOGIN_KEY).unwrap()
}

pub(crate) fn user(id: &str) -> String {
    format!("spiffe://swarm/node/{id}")
}

/// Two members of the plan and one that joined by invite.
pub(crate) fn members(plan: &Plan) -> Vec<Member> {
    let endpoint: SocketAddr = "203.0.113.10:51820".parse().unwrap();
    let joined = plan.mesh().addresses("10.77.0.2".parse().unwrap()).unwrap();
    let of = |name: &str, key: char| {
        let addresses = plan.node(&id(name)).map_or(joined, |node| node.addresses);
        let key = format!("{}A=", key.to_string().repeat(42));
        let mut member = Member::new(
            id(name),
            [addresses.v4.into(), addresses.v6.into()],
            WireGuardPublicKey::parse(&key).unwrap(),
            NatsUser::parse(&user(name)).unwrap(),
        );
        let subject = |text: &str| NatsSubject::parse(text).unwrap();
        let nats = &mut member.nats;
        nats.publish
            .allow
            .insert(subject(&format!("swarm.telemetry.{name}.>")));
        nats.publish
            .deny
            .insert(subject("swarm.telemetry.*.secret"));
        nats.subscribe
            .allow
            .insert(subject(&format!("swarm.commands.{name}.>")));
        nats.subscribe
            .allow
            .insert(subject(&format!("_INBOX_{name}.>")));
        member.roles.insert(Role::edge());
        member
    };
    let mut hub = of("command0", 'C');
    hub.roles = [Role::hub()].into();
    hub.endpoint = Some(endpoint);
    let mut edge1 = of("edge1", 'E');
    edge1.nats.allow_responses = Some(AllowResponses {
        max: 1,
        expires: Span::from_secs(20),
    });
    let mut edge2 = of("edge2", 'F');
    // May hear and say nothing.
    edge2.nats = Default::default();
    vec![edge2, hub, edge1]
}
