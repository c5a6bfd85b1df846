//! Rules by role, and what follows from them for one node.

use super::{AllowResponses, ObjectRight, Permissions, inbox, reduce};
use crate::kv::{bucket_of, is_bucket_name};
use crate::{Pattern, Template, Token, Topic};
use std::fmt;
use std::str::FromStr;

/// What a node is to the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// It runs the servers and speaks for the mesh.
    Hub,
    /// It does its work and reports.
    Edge,
    /// A person who watches and commands.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Hub, Self::Edge, Self::Operator];

    /// Returns the name: `hub`, `edge`, `operator`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Edge => "edge",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word is no [`Role`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role of the bus")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// What may be done with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Right {
    /// Publish its messages, or send its requests.
    Publish,
    /// Receive its messages as they come.
    Subscribe,
    /// Receive its requests, by oneself or in a queue group, and answer them.
    Serve,
    /// Read its stored messages by the consumer of this stream that bears the node's name:
    /// look at the consumer, pull, acknowledge; not make it.
    Consume(Token),
    /// Read its last message from this stream.
    ReadLast(Token),
    /// Read the bucket that it is the keys of, and watch the keys of the scope. The scope bounds
    /// what comes of itself, not what can be asked for: that is the whole bucket.
    ReadState,
    /// Write its keys. Writing on the condition of what is there needs [`ReadState`](Self::ReadState)
    /// too.
    WriteState,
}

/// Of which nodes' share of a topic a [`Right`] speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only of the subjects whose place `{node}` is the node itself; of a template without that
    /// place, of all.
    Own,
    /// Of all subjects.
    All,
}

/// A right of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    role: Role,
    right: Right,
    template: Template,
    scope: Scope,
}

impl Rule {
    /// Gives a role a right over the topic `T`.
    ///
    /// # Panics
    /// When the right is over a bucket and the template of `T` is none, `$KV.<bucket>.<key>`.
    #[must_use]
    pub fn new<T: Topic>(role: Role, right: Right, scope: Scope) -> Self {
        assert!(
            !matches!(right, Right::ReadState | Right::WriteState)
                || bucket_of(&T::TEMPLATE).is_some(),
            "`{}` is no key of a bucket",
            T::TEMPLATE
        );
        Self {
            role,
            right,
            template: T::TEMPLATE,
            scope,
        }
    }

    /// Returns the stream of the bucket, of which it was made sure that there is one.
    fn bucket_stream(&self) -> String {
        format!("KV_{}", bucket_of(&self.template).unwrap_or_default())
    }

    fn pattern(&self, node: &Token) -> Pattern {
        let values: Vec<_> = self
            .template
            .names()
            .map(|name| (self.scope == Scope::Own && name == "node").then_some(node))
            .collect();
        self.template.pattern(&values)
    }
}

/// Who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    pub(super) stream_keepers: Vec<Role>,
    objects: Vec<(Role, ObjectRight, Token)>,
}

impl Policy {
    /// Makes a policy that allows nothing but the own inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Gives a role a right over a bucket of objects.
    ///
    /// # Panics
    /// When `bucket` is no name of a bucket: letters, digits, `-` and `_`.
    #[must_use]
    pub fn with_objects(mut self, role: Role, right: ObjectRight, bucket: Token) -> Self {
        assert!(
            is_bucket_name(bucket.as_str().as_bytes()),
            "`{bucket}` is no name of a bucket"
        );
        self.objects.push((role, right, bucket));
        self
    }

    /// Lets a role make, change and read all streams and consumers.
    #[must_use]
    pub fn with_stream_keeper(mut self, role: Role) -> Self {
        self.stream_keepers.push(role);
        self
    }

    /// Returns what a node with these roles may do: the least that the rules need.
    #[must_use]
    pub fn permissions(&self, node: &Token, roles: &[Role]) -> Permissions {
        let mut publish = Vec::new();
        let mut subscribe = vec![inbox(node)];
        let mut serves = false;
        for rule in self.rules.iter().filter(|rule| roles.contains(&rule.role)) {
            let pattern = rule.pattern(node);
            match &rule.right {
                Right::Publish => publish.push(pattern),
                Right::Subscribe => subscribe.push(pattern),
                Right::Serve => {
                    subscribe.push(pattern);
                    serves = true;
                }
                Right::Consume(stream) => publish.extend([
                    Pattern::from_checked(format!("$JS.API.CONSUMER.INFO.{stream}.{node}")),
                    Pattern::from_checked(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{node}")),
                    Pattern::from_checked(format!("$JS.ACK.{stream}.{node}.>")),
                ]),
                Right::ReadState => {
                    publish.extend(read_stream(&rule.bucket_stream()));
                    subscribe.push(pattern);
                }
                Right::WriteState => {
                    publish.push(stream_info(&rule.bucket_stream()));
                    publish.push(pattern);
                }
                Right::ReadLast(stream) => publish.push(Pattern::from_checked(format!(
                    "$JS.API.DIRECT.GET.{stream}.{pattern}"
                ))),
            }
        }
        for (role, right, bucket) in &self.objects {
            if roles.contains(role) {
                publish.extend(right.publishes(bucket));
            }
        }
        if self.stream_keepers.iter().any(|role| roles.contains(role)) {
            publish.push(Pattern::from_static("$JS.API.>"));
            publish.push(Pattern::from_static("$JS.ACK.>"));
        }
        let publish_allow = reduce(publish);
        Permissions {
            publish_deny: match publish_allow.as_slice() {
                [] => vec![Pattern::ALL.to_string()],
                _ => Vec::new(),
            },
            publish_allow,
            subscribe_allow: reduce(subscribe),
            subscribe_deny: Vec::new(),
            allow_responses: serves.then(AllowResponses::default),
        }
    }
}

/// What asks a stream what it is.
fn stream_info(stream: &str) -> Pattern {
    Pattern::from_checked(format!("$JS.API.STREAM.INFO.{stream}"))
}

/// What asks a stream for any of its messages.
pub(super) fn read_stream(stream: &str) -> [Pattern; 4] {
    [
        stream_info(stream),
        Pattern::from_checked(format!("$JS.API.DIRECT.GET.{stream}")),
        Pattern::from_checked(format!("$JS.API.DIRECT.GET.{stream}.>")),
        Pattern::from_checked(format!("$JS.API.STREAM.MSG.GET.{stream}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Token = Token::from_static("n1");

    #[test]
    fn a_node_without_a_role_may_publish_nothing_and_read_its_inbox() {
        let permissions = Policy::new().permissions(&NODE, &[]);
        assert_eq!(permissions.publish_deny, [">"]);
        assert_eq!(permissions.subscribe_allow, ["_INBOX_n1.>"]);
        assert_eq!(permissions.allow_responses, None);
    }

    #[test]
    fn permissions_serialize_as_the_server_writes_durations() {
        let json = serde_json::to_value(AllowResponses::default()).unwrap();
        assert_eq!(json, serde_json::json!({"max": 1, "expires": "120s"}));
    }

    #[test]
    fn roles_parse_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
