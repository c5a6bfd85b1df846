//! What exactly a policy grants a node, each pattern with its reason.

use super::policy::{read_stream, stream_info};
use super::{AllowResponses, ObjectRight, Policy, Right, Role, Rule, inbox};
use crate::service::VERBS;
use crate::{Pattern, Token};
use std::fmt;

/// What is done with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To publish to it.
    Publish,
    /// To subscribe to it.
    Subscribe,
}

/// A pattern that a node may use, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// For what.
    pub direction: Direction,
    /// The subjects.
    pub pattern: Pattern,
    /// Why.
    pub reason: Reason,
}

/// Why a node may.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// They are where the answers to its own requests come.
    Inbox,
    /// A rule says so.
    Rule(Rule),
    /// The role keeps the streams.
    StreamKeeper(Role),
    /// The role keeps the buckets.
    BucketKeeper(Role),
    /// The role keeps the dead letters.
    DeadLetterKeeper(Role),
    /// The role may find services.
    ServiceDiscovery(Role),
    /// The role may read or write the objects of a bucket.
    Objects(Role, ObjectRight, Token),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inbox => f.pad("every node reads its own inbox"),
            Self::Rule(rule) => rule.fmt(f),
            Self::StreamKeeper(role) => write!(f, "{role} keeps the streams"),
            Self::BucketKeeper(role) => write!(f, "{role} keeps the buckets"),
            Self::DeadLetterKeeper(role) => write!(f, "{role} keeps the dead letters"),
            Self::ServiceDiscovery(role) => write!(f, "{role} may find services"),
            Self::Objects(role, ObjectRight::Read, bucket) => {
                write!(f, "{role} may read the objects of {bucket}")
            }
            Self::Objects(role, ObjectRight::Write, bucket) => {
                write!(f, "{role} may write the objects of {bucket}")
            }
        }
    }
}

/// Whether a node may use a subject, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// By what it may publish there; it may not where this is empty.
    pub publish: Vec<Grant>,
    /// By what it may subscribe to that; it may not where this is empty.
    pub subscribe: Vec<Grant>,
    /// How it may answer a request that reached it, wherever the answer belongs.
    pub answers: Option<AllowResponses>,
}

impl Rule {
    /// Returns every pattern that the rule lets a node use.
    fn grants(&self, node: &Token) -> Vec<(Direction, Pattern)> {
        use Direction::{Publish, Subscribe};
        let pattern = self.pattern(node);
        let publish = |subjects: Vec<String>| -> Vec<_> {
            let patterns = subjects.into_iter().map(Pattern::from_checked);
            patterns.map(|pattern| (Publish, pattern)).collect()
        };
        match self.right() {
            Right::Publish => vec![(Publish, pattern)],
            Right::Subscribe | Right::Serve => vec![(Subscribe, pattern)],
            Right::Provide(service) => {
                let asked = VERBS.into_iter().flat_map(|verb| {
                    [
                        format!("$SRV.{verb}"),
                        format!("$SRV.{verb}.{service}"),
                        format!("$SRV.{verb}.{service}.*"),
                    ]
                });
                let asked = asked.map(|subject| (Subscribe, Pattern::from_checked(subject)));
                std::iter::once((Subscribe, pattern)).chain(asked).collect()
            }
            Right::Consume(stream) => publish(vec![
                format!("$JS.API.CONSUMER.INFO.{stream}.{node}"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{node}"),
                format!("$JS.ACK.{stream}.{node}.>"),
            ]),
            Right::ReadLast(stream) => {
                publish(vec![format!("$JS.API.DIRECT.GET.{stream}.{pattern}")])
            }
            Right::ReadState => {
                let asked = read_stream(&self.bucket_stream()).map(|asked| (Publish, asked));
                asked.into_iter().chain([(Subscribe, pattern)]).collect()
            }
            Right::WriteState => vec![
                (Publish, stream_info(&self.bucket_stream())),
                (Publish, pattern),
            ],
        }
    }
}

impl Policy {
    /// Returns every pattern that a node with these roles may use, each with its reason. Some may
    /// be covered by others; [`permissions`](Self::permissions) are the least list of the same.
    #[must_use]
    pub fn grants(&self, node: &Token, roles: &[Role]) -> Vec<Grant> {
        let mut grants = vec![Grant {
            direction: Direction::Subscribe,
            pattern: inbox(node),
            reason: Reason::Inbox,
        }];
        let mut grant = |reason: Reason, direction, pattern| {
            grants.push(Grant {
                direction,
                pattern,
                reason,
            });
        };
        for rule in self.rules().filter(|rule| roles.contains(&rule.role())) {
            for (direction, pattern) in rule.grants(node) {
                grant(Reason::Rule(rule.clone()), direction, pattern);
            }
        }
        let held = |by: &[Role]| -> Vec<Role> {
            by.iter()
                .copied()
                .filter(|role| roles.contains(role))
                .collect()
        };
        #[cfg(feature = "derive")]
        for role in held(&self.dead_letter_keepers) {
            for pattern in crate::dead_letter::keeper_subjects() {
                grant(Reason::DeadLetterKeeper(role), Direction::Publish, pattern);
            }
        }
        for (role, right, bucket) in &self.objects {
            if roles.contains(role) {
                let reason = || Reason::Objects(*role, *right, bucket.clone());
                for pattern in right.publishes(bucket) {
                    grant(reason(), Direction::Publish, pattern);
                }
                grant(reason(), Direction::Subscribe, right.subscribes(bucket));
            }
        }
        for role in held(&self.finders) {
            for verb in VERBS {
                for subject in [format!("$SRV.{verb}"), format!("$SRV.{verb}.>")] {
                    let pattern = Pattern::from_checked(subject);
                    grant(Reason::ServiceDiscovery(role), Direction::Publish, pattern);
                }
            }
        }
        for role in held(&self.bucket_keepers) {
            for (direction, subject) in [
                (Direction::Publish, "$KV.>"),
                (Direction::Subscribe, "$KV.>"),
                (Direction::Publish, "$O.>"),
            ] {
                let pattern = Pattern::from_static(subject);
                grant(Reason::BucketKeeper(role), direction, pattern);
            }
        }
        for role in held(&self.stream_keepers) {
            for subject in ["$JS.API.>", "$JS.ACK.>"] {
                let pattern = Pattern::from_static(subject);
                grant(Reason::StreamKeeper(role), Direction::Publish, pattern);
            }
        }
        grants
    }

    /// Says whether a node with these roles may publish to a subject and subscribe to it, and why.
    /// Of a pattern with wildcards it says so of all its subjects together.
    #[must_use]
    pub fn explain(&self, node: &Token, roles: &[Role], subject: &Pattern) -> Explanation {
        let (publish, subscribe) = self
            .grants(node, roles)
            .into_iter()
            .filter(|grant| grant.pattern.contains(subject))
            .partition(|grant| grant.direction == Direction::Publish);
        Explanation {
            publish,
            subscribe,
            answers: self.permissions(node, roles).allow_responses,
        }
    }
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_explanation_names_the_rule() {
        let node = Token::from_static("n1");
        let explain = |subject: &str| {
            let subject = Pattern::parse(subject).unwrap();
            let explanation = Policy::mesh().explain(&node, &[Role::Edge], &subject);
            let reasons = |grants: Vec<Grant>| -> Vec<String> {
                grants
                    .iter()
                    .map(|grant| grant.reason.to_string())
                    .collect()
            };
            (reasons(explanation.publish), reasons(explanation.subscribe))
        };
        assert_eq!(
            explain("swarm.events.node.n1"),
            (
                vec!["edge may publish its own swarm.events.node.{node}".to_owned()],
                vec!["edge may subscribe to all swarm.events.node.{node}".to_owned()],
            )
        );
        assert_eq!(explain("swarm.commands.n2.reboot"), (vec![], vec![]));
        let (publish, _) = explain("$JS.API.CONSUMER.MSG.NEXT.SWARM_EVENTS.n1");
        assert_eq!(
            publish,
            ["edge may consume from SWARM_EVENTS all swarm.events.node.{node}"]
        );
        let (_, subscribe) = explain("swarm.trust.bundle");
        assert_eq!(subscribe, ["edge may subscribe to swarm.trust.bundle"]);
        let (_, subscribe) = explain("_INBOX_n1.x");
        assert_eq!(subscribe, ["every node reads its own inbox"]);
    }

    proptest! {
        /// What is explained is what the server is told.
        #[test]
        fn an_explanation_and_the_permissions_agree(
            subject in "(swarm|\\$JS|_INBOX_n1)(\\.(events|node|n1|n2|commands|ping|telemetry|API|ACK|x)){1,4}",
            roles in prop::sample::subsequence(Role::ALL.to_vec(), 0..=3),
        ) {
            let node = Token::from_static("n1");
            let subject = Pattern::parse(&subject).unwrap();
            let policy = Policy::mesh();
            let permissions = policy.permissions(&node, &roles);
            let explanation = policy.explain(&node, &roles, &subject);
            let allowed = |list: &[String]| list.iter().any(|text| Pattern::parse(text).unwrap().contains(&subject));
            prop_assert_eq!(!explanation.publish.is_empty(), allowed(&permissions.publish_allow));
            prop_assert_eq!(!explanation.subscribe.is_empty(), allowed(&permissions.subscribe_allow));
            prop_assert_eq!(explanation.answers, permissions.allow_responses);
        }
    }
}
