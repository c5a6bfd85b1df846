//! The policy of the mesh's own topics.

use super::{ObjectRight, Policy, Right, Role, Rule, Scope};
use crate::topics::{
    Commands, ENDPOINTS_STREAM, EVENTS_STREAM, FILES_BUCKET, NODE_SERVICE, NodeEndpoints,
    NodeEvents, NodeState, PingCommand, TRUST_STREAM, Telemetry, TrustBundle,
};

impl Policy {
    /// Returns the policy of the mesh's own topics; add the application's to it.
    ///
    /// - **Hub**: all topics both ways, serves its own commands, keeps the streams and the dead
    ///   letters, makes and writes every bucket, finds services.
    /// - **Edge**: publishes its own events and telemetry; receives all events, endpoints and the
    ///   trust bundle; serves its own commands; may only *ping* others. Writes its own state, reads
    ///   everybody's, and reads the objects.
    /// - **Operator**: an edge that may also send every command to every node, receives all
    ///   telemetry, writes the objects and finds services.
    ///
    /// That an edge can command nobody keeps a stolen one from steering the rest.
    ///
    /// # Why not more
    /// - **State** is confided to all nodes together: a reader of a bucket reads the whole of it.
    ///   What a node says there only that node and a hub can have said.
    /// - **Objects** are what nodes are to install or to read, so no edge writes them: who may write
    ///   one can replace each.
    /// - **Services**: each node answers for its own commands. Who may answer the questions of
    ///   discovery may answer them with anything; so what is found is a hint, and what a node is
    ///   asked is asked by its subject. To find services shows which nodes run which version, which
    ///   an edge need not know.
    /// - **Dead letters** come from consumers, which only a hub makes; they may hold what any node
    ///   said, and to replay one is to speak as the node that it came from. So they are a hub's, and
    ///   an operator reads them there.
    /// - **The last event** of its own a node may ask for, by which its spool knows what the stream
    ///   has.
    #[must_use]
    pub fn mesh() -> Self {
        use Right::{Consume, Provide, Publish, ReadLast, ReadState, Serve, Subscribe, WriteState};
        use Scope::{All, Own};
        let mut policy = Self::new()
            .with_stream_keeper(Role::Hub)
            .with_bucket_keeper(Role::Hub)
            .with_dead_letter_keeper(Role::Hub)
            .with_service_discovery(Role::Hub)
            .with_service_discovery(Role::Operator)
            .with_objects(Role::Hub, ObjectRight::Write, FILES_BUCKET)
            .with_objects(Role::Operator, ObjectRight::Write, FILES_BUCKET)
            .with_objects(Role::Edge, ObjectRight::Read, FILES_BUCKET);

        let hub = Role::Hub;
        policy.rules.extend([
            Rule::new::<NodeEvents>(hub, Publish, All),
            Rule::new::<NodeEvents>(hub, Subscribe, All),
            Rule::new::<Commands>(hub, Publish, All),
            Rule::new::<Commands>(hub, Subscribe, All),
            Rule::new::<Commands>(hub, Serve, Own),
            Rule::new::<Commands>(hub, Provide(NODE_SERVICE), Own),
            Rule::new::<Telemetry>(hub, Publish, All),
            Rule::new::<Telemetry>(hub, Subscribe, All),
            Rule::new::<NodeEndpoints>(hub, Publish, All),
            Rule::new::<NodeEndpoints>(hub, Subscribe, All),
            Rule::new::<TrustBundle>(hub, Publish, All),
            Rule::new::<TrustBundle>(hub, Subscribe, All),
            Rule::new::<NodeState>(hub, WriteState, All),
            Rule::new::<NodeState>(hub, ReadState, All),
        ]);
        for role in [Role::Edge, Role::Operator] {
            policy.rules.extend([
                Rule::new::<NodeEvents>(role, Publish, Own),
                Rule::new::<NodeEvents>(role, Subscribe, All),
                Rule::new::<NodeEvents>(role, Consume(EVENTS_STREAM), All),
                Rule::new::<NodeEvents>(role, ReadLast(EVENTS_STREAM), Own),
                Rule::new::<Commands>(role, Serve, Own),
                Rule::new::<Commands>(role, Provide(NODE_SERVICE), Own),
                Rule::new::<PingCommand>(role, Publish, All),
                Rule::new::<Telemetry>(role, Publish, Own),
                Rule::new::<NodeEndpoints>(role, Subscribe, All),
                Rule::new::<NodeEndpoints>(role, ReadLast(ENDPOINTS_STREAM), All),
                Rule::new::<TrustBundle>(role, Subscribe, All),
                Rule::new::<TrustBundle>(role, ReadLast(TRUST_STREAM), All),
                Rule::new::<NodeState>(role, WriteState, Own),
                Rule::new::<NodeState>(role, ReadState, All),
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
                "$JS.API.DIRECT.GET.KV_swarm-state",
                "$JS.API.DIRECT.GET.KV_swarm-state.>",
                "$JS.API.DIRECT.GET.OBJ_swarm-files",
                "$JS.API.DIRECT.GET.OBJ_swarm-files.>",
                "$JS.API.DIRECT.GET.SWARM_ENDPOINTS.swarm.endpoints.*",
                "$JS.API.DIRECT.GET.SWARM_EVENTS.swarm.events.node.n1",
                "$JS.API.DIRECT.GET.SWARM_TRUST.swarm.trust.bundle",
                "$JS.API.STREAM.INFO.KV_swarm-state",
                "$JS.API.STREAM.INFO.OBJ_swarm-files",
                "$JS.API.STREAM.MSG.GET.KV_swarm-state",
                "$JS.API.STREAM.MSG.GET.OBJ_swarm-files",
                "$KV.swarm-state.n1.*",
                "swarm.commands.*.ping",
                "swarm.events.node.n1",
                "swarm.telemetry.n1.*",
            ]
        );
        assert_eq!(
            edge.subscribe_allow,
            [
                "$KV.swarm-state.*.*",
                "$O.swarm-files.M.*",
                "$SRV.INFO",
                "$SRV.INFO.swarm-node",
                "$SRV.INFO.swarm-node.*",
                "$SRV.PING",
                "$SRV.PING.swarm-node",
                "$SRV.PING.swarm-node.*",
                "$SRV.STATS",
                "$SRV.STATS.swarm-node",
                "$SRV.STATS.swarm-node.*",
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
