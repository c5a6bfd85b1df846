//! The topics of an application in one place, for people and for programs.
//!
//! A [`Catalogue`] is made of topics, the streams that keep them and the policy over them, and says
//! of each topic what its type knows: subjects and places, payload and reply with their JSON Schema,
//! encoding, delivery, version, and who may do what. It exports itself as
//! [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0).
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use swarm_bus::catalogue::Catalogue;
//! use swarm_bus::{Token, Topic};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! # #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
//! struct Reading { celsius: f64 }
//!
//! /// What a probe measures.
//! #[derive(Topic)]
//! #[topic("lab.{room}.temperature.{probe}", payload = Reading)]
//! struct Temperature {
//!     /// Where it hangs.
//!     room: Token,
//!     probe: u16,
//! }
//!
//! let catalogue = Catalogue::new("lab", "1.0.0").with::<Temperature>();
//! let entry = catalogue.find("Temperature").unwrap();
//! assert_eq!(entry.summary, "What a probe measures.");
//! assert_eq!(entry.places[1].kind, "u16");
//! assert_eq!(catalogue.to_asyncapi()["asyncapi"], "3.0.0");
//! # }
//! ```
//!
//! A payload has a JSON Schema if its type implements `schemars::JsonSchema` and this crate has the
//! feature `schema`; [`Catalogue::without_schema`] names those that have none.

mod asyncapi;
mod description;
mod entry;
#[doc(hidden)]
pub mod probe;
mod schema;

pub use description::{Content, Described, Description, Place};
pub use entry::{Entry, EntryContent, EntryPlace, EntryRight};
pub use schema::SchemaSource;

use crate::permissions::Policy;
use crate::stream::StreamConfig;

/// The topics of an application, with their streams and their policy.
#[derive(Debug, Clone)]
pub struct Catalogue {
    title: String,
    version: String,
    description: String,
    topics: Vec<Description>,
    streams: Vec<StreamConfig>,
    policy: Policy,
}

impl Catalogue {
    /// Begins a catalogue of an application, with the version of its interface.
    #[must_use]
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            version: version.into(),
            description: String::new(),
            topics: Vec::new(),
            streams: Vec::new(),
            policy: Policy::new(),
        }
    }

    /// Returns the catalogue of the mesh's own topics; add the application's to it.
    #[cfg(feature = "derive")]
    #[must_use]
    pub fn mesh() -> Self {
        use crate::topics::{
            Commands, NodeEndpoints, NodeEvents, NodeState, PingCommand, Telemetry, TrustBundle,
            mesh_streams,
        };
        Self::new("Sovereign Swarm", env!("CARGO_PKG_VERSION"))
            .with_description("The topics of the mesh itself.")
            .with::<NodeEvents>()
            .with::<Commands>()
            .with::<PingCommand>()
            .with::<Telemetry>()
            .with::<NodeEndpoints>()
            .with::<TrustBundle>()
            .with::<NodeState>()
            .with_streams(mesh_streams())
            .with_policy(Policy::mesh())
    }

    /// Adds a text for people.
    #[must_use]
    pub fn with_description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Adds a topic. Two of one name are told apart by a number.
    #[must_use]
    pub fn with<T: Described>(mut self) -> Self {
        self.topics.push(T::describe());
        self
    }

    /// Adds streams; each topic names those that keep it.
    #[must_use]
    pub fn with_streams(mut self, streams: impl IntoIterator<Item = StreamConfig>) -> Self {
        self.streams.extend(streams);
        self
    }

    /// Sets who may do what.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Returns what is known of each topic, in the order in which they were added.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        (0..self.topics.len())
            .map(|index| self.entry(index))
            .collect()
    }

    /// Finds a topic by its name, its template, or one of its subjects; of several that a subject
    /// belongs to, the narrowest.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Entry> {
        let entries = self.entries();
        let named = entries
            .iter()
            .position(|entry| entry.name.eq_ignore_ascii_case(text) || entry.template == text);
        let of_subject = || {
            let subject = crate::Subject::parse(text).ok()?;
            (0..self.topics.len())
                .filter(|index| self.topics[*index].template.parse(&subject).is_some())
                .min_by_key(|index| self.topics[*index].places.len())
        };
        let index = named.or_else(of_subject)?;
        entries.into_iter().nth(index)
    }

    /// Returns the JSON Schema of a topic's payload, if there is one.
    #[must_use]
    pub fn payload_schema(&self, name: &str) -> Option<serde_json::Value> {
        self.topic(name)?.payload.json_schema()
    }

    /// Returns the JSON Schema of a topic's answers, if there is one.
    #[must_use]
    pub fn reply_schema(&self, name: &str) -> Option<serde_json::Value> {
        self.topic(name)?.reply.as_ref()?.json_schema()
    }

    /// Returns the names of the topics of which a payload or answer lacks a JSON Schema, opaque bytes
    /// aside: for a test of an application that wants them all.
    #[must_use]
    pub fn without_schema(&self) -> Vec<String> {
        let lacks = |content: &Content| !content.is_opaque() && !content.has_schema();
        self.topics
            .iter()
            .enumerate()
            .filter(|(_, topic)| {
                std::iter::once(&topic.payload)
                    .chain(&topic.reply)
                    .any(lacks)
            })
            .map(|(index, _)| self.name(index))
            .collect()
    }

    fn topic(&self, name: &str) -> Option<&Description> {
        let named = |index: &usize| self.name(*index) == name;
        (0..self.topics.len())
            .find(named)
            .map(|index| &self.topics[index])
    }

    /// The name of a topic: that of its type, with a number from the second of that name on.
    fn name(&self, index: usize) -> String {
        let name = self.topics[index].name;
        let before = self.topics[..index]
            .iter()
            .filter(|topic| topic.name == name)
            .count();
        match before {
            0 => name.to_owned(),
            before => format!("{name}_{}", before + 1),
        }
    }
}
