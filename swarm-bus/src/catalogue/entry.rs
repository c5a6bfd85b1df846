//! What a catalogue says of one topic: plain data, also as JSON.

use super::{Catalogue, Content};
use crate::Delivery;
use serde::Serialize;

/// What is known of a topic. Its JSON is meant for programs: fields are added, not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// The name of its type, unique in the catalogue.
    pub name: String,
    /// Its doc comment's first paragraph, on one line.
    pub summary: String,
    /// Its doc comment.
    pub description: String,
    /// The subjects, with open places.
    pub template: &'static str,
    /// The open places, in the order of the template.
    pub places: Vec<EntryPlace>,
    /// What a message carries.
    pub payload: EntryContent,
    /// What a request is answered with, if the topic is a call.
    pub reply: Option<EntryContent>,
    /// `live` or `stored`.
    pub delivery: &'static str,
    /// The version of the payload's format.
    pub schema: u16,
    /// The streams that keep it.
    pub streams: Vec<String>,
    /// Who may do what with it.
    pub rights: Vec<EntryRight>,
}

/// An open place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EntryPlace {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub kind: &'static str,
    /// Its doc comment.
    pub description: &'static str,
}

/// What a message or an answer carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EntryContent {
    /// The name of the type.
    #[serde(rename = "type")]
    pub name: String,
    /// The encoding.
    pub media_type: &'static str,
    /// Whether the catalogue has its JSON Schema.
    pub has_schema: bool,
}

/// What a role may do with a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EntryRight {
    /// Who may.
    pub role: &'static str,
    /// What: the name of a [`Right`](crate::permissions::Right).
    pub right: &'static str,
    /// `own` or `all`.
    pub scope: &'static str,
    /// The stream that it speaks of.
    pub stream: Option<String>,
}

impl Catalogue {
    pub(super) fn entry(&self, index: usize) -> Entry {
        let topic = &self.topics[index];
        let family = topic.template.pattern(&[]);
        let streams = self
            .streams
            .iter()
            .filter(|stream| {
                stream
                    .subjects
                    .iter()
                    .any(|subject| subject.contains(&family))
            })
            .map(|stream| stream.name.to_string())
            .collect();
        let rights = self
            .policy
            .rules()
            .filter(|rule| rule.template().pattern(&[]).contains(&family))
            .map(|rule| EntryRight {
                role: rule.role().as_str(),
                right: rule.right().as_str(),
                scope: rule.scope().as_str(),
                stream: rule.right().stream().map(ToString::to_string),
            })
            .collect();
        Entry {
            name: self.name(index),
            summary: topic.summary(),
            description: topic.doc.to_owned(),
            template: topic.template.as_str(),
            places: topic
                .places
                .iter()
                .map(|place| EntryPlace {
                    name: place.name,
                    kind: place.kind,
                    description: place.doc,
                })
                .collect(),
            payload: content(&topic.payload),
            reply: topic.reply.as_ref().map(content),
            delivery: match topic.delivery {
                Delivery::Live => "live",
                Delivery::Stored => "stored",
            },
            schema: topic.schema,
            streams,
            rights,
        }
    }
}

fn content(content: &Content) -> EntryContent {
    EntryContent {
        name: content.name.clone(),
        media_type: content.media_type,
        has_schema: content.has_schema(),
    }
}
