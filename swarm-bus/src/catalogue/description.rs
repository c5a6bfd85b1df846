//! What a topic tells about itself.

use super::SchemaSource;
use crate::{Call, Codec, Delivery, Parameter, Template, Topic};

/// A topic that tells about itself; `derive(Topic)` implements it, from doc comments and types.
pub trait Described: Topic {
    /// Describes the topic.
    fn describe() -> Description;
}

/// What a topic is, for people and programs that do not have its type.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Description {
    /// The name of its type.
    pub name: &'static str,
    /// Its doc comment.
    pub doc: &'static str,
    /// The subjects.
    pub template: Template,
    /// The open places, in the order of the template.
    pub places: Vec<Place>,
    /// What a message carries.
    pub payload: Content,
    /// What a request is answered with, if it is a [`Call`].
    pub reply: Option<Content>,
    /// Whether a stream keeps the messages.
    pub delivery: Delivery,
    /// The version of the payload's format.
    pub schema: u16,
}

/// An open place of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// What may stand there: [`Parameter::KIND`].
    pub kind: &'static str,
    /// The doc comment of its field.
    pub doc: &'static str,
}

/// What a message or an answer carries.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Content {
    /// The name of the type, without the modules that it is in.
    pub name: String,
    /// The encoding: [`Codec::MEDIA_TYPE`].
    pub media_type: &'static str,
    /// How its JSON Schema is made.
    pub(super) source: SchemaSource,
}

impl Description {
    /// Describes a topic by what its type says.
    #[must_use]
    pub fn new<T: Topic>(name: &'static str, payload: SchemaSource) -> Self {
        Self {
            name,
            doc: "",
            template: T::TEMPLATE,
            places: Vec::new(),
            payload: Content::new::<T::Payload, T::Codec>(payload),
            reply: None,
            delivery: T::DELIVERY,
            schema: T::SCHEMA,
        }
    }

    /// Adds a text for people.
    #[must_use]
    pub fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Adds the next open place.
    #[must_use]
    pub fn place<P: Parameter>(mut self, name: &'static str, doc: &'static str) -> Self {
        let kind = P::KIND;
        self.places.push(Place { name, kind, doc });
        self
    }

    /// Adds the answer of a call.
    #[must_use]
    pub fn reply<C: Call>(mut self, reply: SchemaSource) -> Self {
        self.reply = Some(Content::new::<C::Reply, C::ReplyCodec>(reply));
        self
    }

    /// Returns the first paragraph of the doc comment as one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let first = self.doc.split("\n\n").next().unwrap_or_default();
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Content {
    fn new<P, C: Codec<P>>(source: SchemaSource) -> Self {
        Self {
            name: short(std::any::type_name::<P>()),
            media_type: C::MEDIA_TYPE,
            source,
        }
    }

    /// Says whether these are bytes of which nothing more is known.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.media_type == "application/octet-stream"
    }
}

/// Drops the modules from each path in the name of a type.
fn short(name: &str) -> String {
    let mut text = String::new();
    let mut path = String::new();
    for letter in name.chars() {
        match letter {
            ':' => path.clear(),
            letter if letter.is_alphanumeric() || letter == '_' => path.push(letter),
            letter => {
                text.push_str(&path);
                path.clear();
                text.push(letter);
            }
        }
    }
    text + &path
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn the_name_of_a_type_is_without_its_modules() {
        for (full, name) in [
            ("u8", "u8"),
            ("bytes::bytes::Bytes", "Bytes"),
            (
                "alloc::vec::Vec<(a::B, core::option::Option<c::D_1>)>",
                "Vec<(B, Option<D_1>)>",
            ),
        ] {
            assert_eq!(short(full), name);
        }
    }
}
