//! Rules by role, and what follows from them for one node.

use super::{AllowResponses, Direction, ObjectRight, Permissions, Reason, reduce};
use crate::kv::{bucket_of, is_bucket_name};
use crate::service::ServiceName;
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
    /// Serve its requests as an endpoint of this service: as [`Serve`](Self::Serve), and be found
    /// under the service's name. Which instance it is cannot be told by a permission, since each
    /// makes its id anew.
    Provide(ServiceName),
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

impl Right {
    /// Returns the name: `publish`, `subscribe`, `serve`, `provide`, `consume`, `read_last`,
    /// `read_state`, `write_state`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Serve => "serve",
            Self::Provide(_) => "provide",
            Self::Consume(_) => "consume",
            Self::ReadLast(_) => "read_last",
            Self::ReadState => "read_state",
            Self::WriteState => "write_state",
        }
    }

    /// Says whether whoever has it answers requests.
    fn answers(&self) -> bool {
        matches!(self, Self::Serve | Self::Provide(_))
    }

    /// Returns the stream that it is about, if it is about one.
    #[must_use]
    pub const fn stream(&self) -> Option<&Token> {
        match self {
            Self::Consume(stream) | Self::ReadLast(stream) => Some(stream),
            _ => None,
        }
    }
}

impl Scope {
    /// Returns the name: `own`, `all`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::All => "all",
        }
    }
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

    /// Returns whose right it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the right.
    #[must_use]
    pub fn right(&self) -> &Right {
        &self.right
    }

    /// Returns the subjects that it is about.
    #[must_use]
    pub fn template(&self) -> Template {
        self.template
    }

    /// Returns of whose subjects it speaks.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns the stream of the bucket, of which it was made sure that there is one.
    pub(super) fn bucket_stream(&self) -> String {
        format!("KV_{}", bucket_of(&self.template).unwrap_or_default())
    }

    pub(super) fn pattern(&self, node: &Token) -> Pattern {
        let values: Vec<_> = self
            .template
            .names()
            .map(|name| (self.scope == Scope::Own && name == "node").then_some(node))
            .collect();
        self.template.pattern(&values)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may ", self.role)?;
        match &self.right {
            Right::Publish => f.write_str("publish ")?,
            Right::Subscribe => f.write_str("subscribe to ")?,
            Right::Serve => f.write_str("serve ")?,
            Right::Provide(service) => write!(f, "provide, as service {service}, ")?,
            Right::Consume(stream) => write!(f, "consume from {stream} ")?,
            Right::ReadLast(stream) => write!(f, "read the last in {stream} of ")?,
            Right::ReadState => f.write_str("read the bucket of, and watch ")?,
            Right::WriteState => f.write_str("write ")?,
        }
        match (self.scope, self.template.names().next()) {
            (_, None) => {}
            (Scope::Own, _) => f.write_str("its own ")?,
            (Scope::All, _) => f.write_str("all ")?,
        }
        write!(f, "{}", self.template)
    }
}

/// Who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    pub(super) stream_keepers: Vec<Role>,
    pub(super) bucket_keepers: Vec<Role>,
    #[cfg(feature = "derive")]
    pub(super) dead_letter_keepers: Vec<Role>,
    pub(super) finders: Vec<Role>,
    responses: AllowResponses,
    pub(super) objects: Vec<(Role, ObjectRight, Token)>,
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

    /// Lets a role write and watch the keys of every bucket, and write every object: for who keeps
    /// the streams too, and with them makes the buckets. Who may make streams may have a server
    /// publish what it likes, so this gives nothing away.
    #[must_use]
    pub fn with_bucket_keeper(mut self, role: Role) -> Self {
        self.bucket_keepers.push(role);
        self
    }

    /// Lets a role keep dead letters: make their two streams, read the advisories, read single
    /// messages of every stream, store letters and delete them. To replay one takes
    /// [`Right::Publish`] for the topic that it goes to.
    #[cfg(feature = "derive")]
    #[must_use]
    pub fn with_dead_letter_keeper(mut self, role: Role) -> Self {
        self.dead_letter_keepers.push(role);
        self
    }

    /// Lets a role find services, see what they offer, and watch what they do. To ask them something
    /// takes [`Right::Publish`] for their topics.
    #[must_use]
    pub fn with_service_discovery(mut self, role: Role) -> Self {
        self.finders.push(role);
        self
    }

    /// Sets how requests may be answered by those who may [`Serve`](Right::Serve): several messages
    /// to one request are none by default.
    #[must_use]
    pub fn with_responses(mut self, responses: AllowResponses) -> Self {
        self.responses = responses;
        self
    }

    /// Returns the rules in the order in which they were added.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Returns what a node with these roles may do: the least that the rules need.
    #[must_use]
    pub fn permissions(&self, node: &Token, roles: &[Role]) -> Permissions {
        let grants = self.grants(node, roles);
        let patterns = |direction| {
            grants
                .iter()
                .filter(|grant| grant.direction == direction)
                .map(|grant| grant.pattern.clone())
                .collect()
        };
        let serves = grants
            .iter()
            .any(|grant| matches!(&grant.reason, Reason::Rule(rule) if rule.right.answers()));
        let publish_allow = reduce(patterns(Direction::Publish));
        Permissions {
            publish_deny: match publish_allow.as_slice() {
                [] => vec![Pattern::ALL.to_string()],
                _ => Vec::new(),
            },
            publish_allow,
            subscribe_allow: reduce(patterns(Direction::Subscribe)),
            subscribe_deny: Vec::new(),
            allow_responses: serves.then_some(self.responses),
        }
    }
}

/// What asks a stream what it is.
pub(super) fn stream_info(stream: &str) -> Pattern {
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
        assert_eq!(json, serde_json::json!({"max": 1, "expires": "20s"}));
    }

    #[test]
    fn roles_parse_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
