//! The policy of the mesh's own topics.

use super::{Policy, Right, Role, Rule, Scope};
use crate::topics::{
    Commands, ENDPOINTS_STREAM, EVENTS_STREAM, NodeEndpoints, NodeEvents, PingCommand,
    TRUST_STREAM, Telemetry, TrustBundle,
};

impl Policy {
    /// Returns the policy of the mesh's own topics; add the application's to it.
    ///
    /// - **Hub**: all topics both ways, serves its own commands, keeps the streams.
    /// - **Edge**: publishes its own events and telemetry; receives all events, endpoints and the
    ///   trust bundle; serves its own commands; may only *ping* others.
    /// - **Operator**: an edge that may also send every command to every node and receives all
    ///   telemetry.
    ///
    /// That an edge can command nobody keeps a stolen one from steering the rest.
    #[must_use]
    pub fn mesh() -> Self {
        use Right::{Consume, Publish, ReadLast, Serve, Subscribe};
        use Scope::{All, Own};
        let mut policy = Self::new().with_stream_keeper(Role::Hub);

        let hub = Role::Hub;
        policy.rules.extend([
            Rule::new::<NodeEvents>(hub, Publish, All),
            Rule::new::<NodeEvents>(hub, Subscribe, All),
            Rule::new::<Commands>(hub, Publish, All),
            Rule::new::<Commands>(hub, Subscribe, All),
            Rule::new::<Commands>(hub, Serve, Own),
            Rule::new::<Telemetry>(hub, Publish, All),
            Rule::new::<Telemetry>(hub, Subscribe, All),
            Rule::new::<NodeEndpoints>(hub, Publish, All),
            Rule::new::<NodeEndpoints>(hub, Subscribe, All),
            Rule::new::<TrustBundle>(hub, Publish, All),
            Rule::new::<TrustBundle>(hub, Subscribe, All),
        ]);
        for role in [Role::Edge, Role::Operator] {
            policy.rules.extend([
                Rule::new::<NodeEvents>(role, Publish, Own),
                Rule::new::<NodeEvents>(role, Subscribe, All),
                Rule::new::<NodeEvents>(role, Consume(EVENTS_STREAM), All),
                Rule::new::<Commands>(role, Serve, Own),
                Rule::new::<PingCommand>(role, Publish, All),
                Rule::new::<Telemetry>(role, Publish, Own),
                Rule::new::<NodeEndpoints>(role, Subscribe, All),
                Rule::new::<NodeEndpoints>(role, ReadLast(ENDPOINTS_STREAM), All),
                Rule::new::<TrustBundle>(role, Subscribe, All),
                Rule::new::<TrustBundle>(role, ReadLast(TRUST_STREAM), All),
            ]);
        }
        policy.rules.extend([
            Rule::new::<Commands>(Role::Operator, Publish, All),
            Rule::new::<Telemetry>(Role::Operator, Subscribe, All),
        ]);
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    #[test]
    fn the_permissions_of_an_edge_are_these_and_no_others() {
        let edge = Policy::mesh().permissions(&Token::from_static("n1"), &[Role::Edge]);
        assert_eq!(
            edge.publish_allow,
            [
                "$JS.ACK.SWARM_EVENTS.n1.>",
                "$JS.API.CONSUMER.INFO.SWARM_EVENTS.n1",
                "$JS.API.CONSUMER.MSG.NEXT.SWARM_EVENTS.n1",
                "$JS.API.DIRECT.GET.SWARM_ENDPOINTS.swarm.endpoints.*",
                "$JS.API.DIRECT.GET.SWARM_TRUST.swarm.trust.bundle",
                "swarm.commands.*.ping",
                "swarm.events.node.n1",
                "swarm.telemetry.n1.*",
            ]
        );
        assert_eq!(
            edge.subscribe_allow,
            [
                "_INBOX_n1.>",
                "swarm.commands.n1.*",
                "swarm.endpoints.*",
                "swarm.events.node.*",
                "swarm.trust.bundle",
            ]
        );
        assert!(edge.allow_responses.is_some());
    }

    #[test]
    fn several_roles_add_up_without_repeating_themselves() {
        let node = Token::from_static("n1");
        let hub = Policy::mesh().permissions(&node, &[Role::Hub]);
        let both = Policy::mesh().permissions(&node, &[Role::Hub, Role::Edge]);
        assert_eq!(hub, both, "a hub already may all that an edge may");
    }
}
