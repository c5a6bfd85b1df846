//! A site with a nats-server of its own, which is a leaf node of the hub's.

use super::grants::Direction;
use super::{Permissions, Policy, Reason, Right, Role, reduce};
use crate::stream::{Retention, Source, StreamConfig};
use crate::{Pattern, Token};
use serde::Serialize;
use std::time::Duration;

/// The JetStream domain under which a leaf node reaches the hub's streams.
pub const HUB_DOMAIN: Token = Token::from_static("hub");

/// A leaf node: what may cross the link to the hub, and what the node may do at its own server.
///
/// ```text
///  node ──▶ its server ════════ link ════════▶ the hub's server
///             │                                  │ the leaf's account │ the mesh's account
///          LEAF_n1 ◀── asked for by ──────────── │ ────────────────── │ ── LEAF_n1
///   everything is stored here first              │                    │      ╰─ its own subjects ─▶ SWARM_EVENTS
/// ```
///
/// Its JetStream domain is named like the node.
///
/// - **The link has an account of its own at the hub**, and accounts meet where
///   [`Crossing`] says so. Permissions alone would not do: nats-server 2.9.10 leaves it to the leaf
///   to obey what it may publish.
/// - **What the node's own streams keep does not cross as it is published**: it would come twice, and
///   before what waits. The hub takes it from the streams; who listens at the hub finds it in the
///   stream there, not on the subject.
/// - **The hub takes it into a stream of this leaf alone** ([`inlets`](Self::inlets)), since the
///   leaf's server may give a message any subject. From there on, by
///   [`own`](Self::own), go its own subjects only.
#[derive(Debug, Clone)]
pub struct Leaf {
    node: Token,
    roles: Vec<Role>,
    streams: Vec<StreamConfig>,
}

/// What crosses between the account of a leaf node and that of the mesh, as exports and imports say
/// it: plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Crossing {
    /// What the mesh receives of what is published at the leaf.
    pub up: Vec<String>,
    /// What the leaf receives of what is published in the mesh.
    pub down: Vec<String>,
    /// The requests of the mesh that the leaf answers.
    pub serves: Vec<String>,
    /// The requests of the leaf that the mesh answers.
    pub asks: Vec<Asked>,
}

/// A request of a leaf node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Asked {
    /// Its subject in the mesh.
    pub subject: String,
    /// Its subject at the leaf.
    pub at_leaf: String,
    /// Whether several messages may answer it.
    pub several: bool,
}

impl Leaf {
    /// Describes the leaf node of a node with these roles, which keeps by itself what is in
    /// `streams`. Over one link their names are told apart, so each bears the node's.
    #[must_use]
    pub fn new(node: Token, roles: &[Role], streams: Vec<StreamConfig>) -> Self {
        Self {
            node,
            roles: roles.to_vec(),
            streams,
        }
    }

    /// Returns the streams at the hub that take over those of the leaf: for a day longer and twice
    /// as many bytes, so that what the leaf still has is never new to them.
    #[must_use]
    pub fn inlets(&self) -> Vec<StreamConfig> {
        const MARGIN: Duration = Duration::from_secs(24 * 3600);
        let inlet = |own: &StreamConfig| {
            let mut inlet = StreamConfig::new(own.name.clone(), Vec::new());
            inlet.sources = vec![Source::in_domain(own.name.clone(), &self.node)];
            inlet.retention = Retention::Limits;
            inlet.max_age = own.max_age.map(|age| age.saturating_add(MARGIN));
            inlet.max_bytes = own.max_bytes.map(|bytes| bytes.saturating_mul(2));
            inlet.max_messages = own.max_messages;
            inlet
        };
        self.streams.iter().map(inlet).collect()
    }

    /// Returns what a stream of the mesh with this pattern takes from the
    /// [`inlets`](Self::inlets): the subjects that the leaf's streams have, and no others.
    #[must_use]
    pub fn own(&self, pattern: &Pattern) -> Vec<Source> {
        let inlets = self.streams.iter().flat_map(|stream| {
            let subjects = stream.subjects.iter();
            subjects.map(|subject| (&stream.name, subject))
        });
        inlets
            .filter(|(_, subject)| pattern.contains(subject))
            .map(|(name, subject)| {
                let mut source = Source::new(name.clone());
                source.filter = Some(subject.clone());
                source
            })
            .collect()
    }

    /// Returns what crosses between the accounts: what the node might do at the hub, less what its
    /// own streams keep, and what the hub needs in order to take that over.
    ///
    /// What the node may ask and serve at the same time (to *ping* everybody, say) is not asked over
    /// the link: the request would come back to it. Questions which services there are (`$SRV`) do not
    /// cross either: many nodes answer them, and one account alone may serve a subject to the mesh. What a service
    /// itself is asked does.
    #[must_use]
    pub fn crossing(&self, policy: &Policy) -> Crossing {
        let node = &self.node;
        let (mut up, mut down, mut serves) = (Vec::new(), Vec::new(), Vec::new());
        let mut asks = Vec::new();
        for grant in policy.grants(node, &self.roles) {
            if grant.pattern.as_str().starts_with("$SRV.") {
                continue;
            }
            let answers = matches!(&grant.reason, Reason::Rule(rule)
                if matches!(rule.right(), Right::Serve | Right::Provide(_)));
            match grant.direction {
                Direction::Subscribe if answers => serves.push(grant.pattern),
                Direction::Subscribe => down.push(grant.pattern),
                Direction::Publish => match at_leaf(grant.pattern.as_str()) {
                    Some(at_leaf) => asks.push(Asked {
                        several: at_leaf.contains(".CONSUMER.MSG.NEXT."),
                        subject: grant.pattern.to_string(),
                        at_leaf,
                    }),
                    None => up.push(grant.pattern),
                },
            }
        }
        let kept = || self.streams.iter().flat_map(|stream| &stream.subjects);
        up.retain(|pattern| !kept().chain(&serves).any(|other| other.overlaps(pattern)));
        for StreamConfig { name, .. } in &self.streams {
            serves.extend([
                Pattern::from_checked(format!("$JS.{node}.API.CONSUMER.CREATE.{name}")),
                // So newer servers ask.
                Pattern::from_checked(format!("$JS.{node}.API.CONSUMER.CREATE.{name}.>")),
                // How far the hub has come, so that it is not sent more than it can take.
                Pattern::from_checked(format!("$JS.FC.{name}.>")),
            ]);
        }
        if !self.streams.is_empty() {
            up.push(Pattern::from_checked(format!("_LEAF.{node}.>")));
        }
        asks.sort();
        asks.dedup();
        Crossing {
            up: reduce(up),
            down: reduce(down),
            serves: reduce(serves),
            asks,
        }
    }

    /// Returns what the link's user may do in its account: no more than what crosses. To publish is
    /// to send to the hub, to subscribe is to have the hub send.
    #[must_use]
    pub fn link(&self, policy: &Policy) -> Permissions {
        let crossing = self.crossing(policy);
        let asked = crossing.asks.iter().map(|asked| &asked.at_leaf);
        let mut publish: Vec<Pattern> = parsed(crossing.up.iter().chain(asked)).collect();
        if !crossing.serves.is_empty() {
            // Where a server expects the answer to a request from another account.
            publish.push(Pattern::from_static("_R_.>"));
        }
        let subscribe: Vec<_> = parsed(crossing.down.iter().chain(&crossing.serves)).collect();
        // What the leaf keeps comes from the leaf; once more it would go round.
        let kept = self.streams.iter().flat_map(|stream| &stream.subjects);
        let kept = kept.filter(|kept| subscribe.iter().any(|one| one.overlaps(kept)));
        Permissions {
            publish_deny: deny_if_empty(&publish),
            publish_allow: reduce(publish),
            subscribe_deny: reduce(kept.cloned().collect()),
            subscribe_allow: reduce(subscribe),
            allow_responses: None,
        }
    }

    /// Returns what the node may do at its own server: what it might at the hub, whose streams it
    /// reaches in the domain [`HUB_DOMAIN`], and make sure of its own streams.
    #[must_use]
    pub fn local(&self, policy: &Policy) -> Permissions {
        let through = policy.permissions_in(&HUB_DOMAIN, &self.node, &self.roles);
        let mut publish: Vec<Pattern> = parsed(&through.publish_allow).collect();
        for StreamConfig { name, .. } in &self.streams {
            let verbs = ["INFO", "CREATE", "UPDATE", "MSG.GET"];
            publish.extend(
                verbs.map(|verb| Pattern::from_checked(format!("$JS.API.STREAM.{verb}.{name}"))),
            );
        }
        Permissions {
            publish_deny: deny_if_empty(&publish),
            publish_allow: reduce(publish),
            ..through
        }
    }
}

/// Returns the subject by which a leaf asks the hub's JetStream; `None` for what is no such request.
fn at_leaf(subject: &str) -> Option<String> {
    if let Some(request) = subject.strip_prefix("$JS.API.") {
        Some(format!("$JS.{HUB_DOMAIN}.API.{request}"))
    } else if subject.starts_with("$KV.") {
        Some(format!("$JS.{HUB_DOMAIN}.API.{subject}"))
    } else {
        let same = subject.starts_with("$JS.ACK.") || subject.starts_with("$O.");
        same.then(|| subject.to_owned())
    }
}

/// An empty allow list would mean everything.
fn deny_if_empty(allow: &[Pattern]) -> Vec<String> {
    match allow {
        [] => vec![Pattern::ALL.to_string()],
        _ => Vec::new(),
    }
}

fn parsed<'a>(patterns: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = Pattern> {
    let patterns = patterns.into_iter();
    patterns.map(|text| Pattern::from_checked(text.clone()))
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use super::*;
    use crate::topics::{EVENTS_STREAM, leaf_streams, mesh_streams};

    const NODE: Token = Token::from_static("n1");

    fn leaf(roles: &[Role]) -> Leaf {
        Leaf::new(NODE, roles, leaf_streams(&NODE))
    }

    #[test]
    fn of_an_edge_these_cross_and_no_others() {
        let crossing = leaf(&[Role::Edge]).crossing(&Policy::mesh());
        assert_eq!(crossing.up, ["_LEAF.n1.>", "swarm.telemetry.n1.*"]);
        assert_eq!(
            crossing.down,
            [
                "$KV.swarm-state.*.*",
                "$O.swarm-files.M.*",
                "_INBOX_n1.>",
                "swarm.endpoints.*",
                "swarm.events.node.*",
                "swarm.trust.bundle",
            ]
        );
        assert_eq!(
            crossing.serves,
            [
                "$JS.FC.LEAF_n1.>",
                "$JS.n1.API.CONSUMER.CREATE.LEAF_n1",
                "$JS.n1.API.CONSUMER.CREATE.LEAF_n1.>",
                "swarm.commands.n1.*",
            ]
        );
        let api = [
            "CONSUMER.INFO.SWARM_EVENTS.n1",
            "CONSUMER.MSG.NEXT.SWARM_EVENTS.n1",
            "DIRECT.GET.KV_swarm-state",
            "DIRECT.GET.KV_swarm-state.>",
            "DIRECT.GET.OBJ_swarm-files",
            "DIRECT.GET.OBJ_swarm-files.>",
            "DIRECT.GET.SWARM_ENDPOINTS.swarm.endpoints.*",
            "DIRECT.GET.SWARM_EVENTS.swarm.events.node.n1",
            "DIRECT.GET.SWARM_TRUST.swarm.trust.bundle",
            "STREAM.INFO.KV_swarm-state",
            "STREAM.INFO.OBJ_swarm-files",
            "STREAM.MSG.GET.KV_swarm-state",
            "STREAM.MSG.GET.OBJ_swarm-files",
        ];
        let asked = |subject: &str, at_leaf: &str| Asked {
            subject: subject.to_owned(),
            at_leaf: at_leaf.to_owned(),
            several: subject.contains(".NEXT."),
        };
        let ack = "$JS.ACK.SWARM_EVENTS.n1.>";
        let mut expected = vec![asked(ack, ack)];
        expected.extend(api.map(|request| {
            let (subject, at_leaf) = (
                format!("$JS.API.{request}"),
                format!("$JS.hub.API.{request}"),
            );
            asked(&subject, &at_leaf)
        }));
        let state = "$KV.swarm-state.n1.*";
        expected.push(asked(state, &format!("$JS.hub.API.{state}")));
        assert_eq!(crossing.asks, expected);
    }

    #[test]
    fn no_two_leaves_answer_the_same_question() {
        let of =
            |node| Leaf::new(node, &[Role::Edge], leaf_streams(&NODE)).crossing(&Policy::mesh());
        let serves = |node| {
            of(node)
                .serves
                .into_iter()
                .filter(|subject| !subject.contains("LEAF_"))
        };
        let one: Vec<_> = serves(NODE).collect();
        assert_eq!(one, ["swarm.commands.n1.*"]);
        assert!(serves(Token::from_static("n2")).all(|subject| !one.contains(&subject)));
    }

    #[test]
    fn the_link_may_what_crosses_and_is_not_sent_what_it_keeps() {
        let link = leaf(&[Role::Edge]).link(&Policy::mesh());
        let may = |subject: &str| link.publish_allow.contains(&subject.to_owned());
        assert!(may("swarm.telemetry.n1.*") && may("_LEAF.n1.>") && may("_R_.>"));
        assert!(!may("swarm.events.node.n1") && !may("$JS.API.>"));
        assert_eq!(link.publish_deny, [] as [&str; 0]);
        assert_eq!(link.subscribe_deny, ["swarm.events.node.n1"]);
        assert_eq!(link.allow_responses, None);
        let without = Leaf::new(NODE, &[], Vec::new()).link(&Policy::mesh());
        let nothing = (vec![], vec![">".to_owned()]);
        assert_eq!((without.publish_allow, without.publish_deny), nothing);
    }

    #[test]
    fn at_its_own_server_a_node_makes_its_streams_and_publishes_to_them() {
        let local = leaf(&[Role::Edge]).local(&Policy::mesh());
        let may = |subject: &str| local.publish_allow.contains(&subject.to_owned());
        assert!(may("swarm.events.node.n1") && may("$JS.API.STREAM.CREATE.LEAF_n1"));
        assert!(may("$JS.hub.API.DIRECT.GET.SWARM_TRUST.swarm.trust.bundle"));
        assert!(!may("$JS.API.STREAM.DELETE.LEAF_n1") && !may("$JS.API.>"));
        assert!(local.allow_responses.is_some());
    }

    #[test]
    fn the_hub_takes_all_into_a_stream_of_the_leaf_and_its_own_subjects_from_there() {
        let leaf = leaf(&[Role::Edge]);
        let inlets = leaf.inlets();
        let (own, inlet) = (&leaf.streams[0], &inlets[0]);
        assert!(inlet.subjects.is_empty() && inlet.retention == Retention::Limits);
        assert!(inlet.max_age > own.max_age && inlet.max_bytes > own.max_bytes);
        let external = inlet.sources[0].external.clone().unwrap();
        assert_eq!(external.api.as_str(), "$JS.n1.API");
        assert_eq!(external.deliver.as_str(), "_LEAF.n1");

        let events = mesh_streams();
        let events = events.iter().find(|stream| stream.name == EVENTS_STREAM);
        let own = leaf.own(&events.unwrap().subjects[0]);
        assert_eq!(own.len(), 1);
        assert_eq!(
            (own[0].stream.as_str(), &own[0].external),
            ("LEAF_n1", &None)
        );
        assert_eq!(
            own[0].filter.as_ref().unwrap().as_str(),
            "swarm.events.node.n1"
        );
        assert!(
            leaf.own(&Pattern::from_static("swarm.telemetry.*.*"))
                .is_empty()
        );
    }
}
