//! JSON Schemas of payloads, where their types have one.

use super::Content;
#[cfg(feature = "schema")]
use schemars::Schema;
#[cfg(feature = "schema")]
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};

/// How the JSON Schema of a type is made; nothing where the type has none.
#[derive(Clone, Copy)]
pub struct SchemaSource {
    #[cfg(feature = "schema")]
    makers: Option<Makers>,
}

#[cfg(feature = "schema")]
#[derive(Clone, Copy)]
struct Makers {
    /// One that stands alone.
    whole: fn(SchemaGenerator) -> Schema,
    /// One that refers to definitions shared with others.
    part: fn(&mut SchemaGenerator) -> Schema,
}

impl SchemaSource {
    /// Of a type without a schema.
    pub const NONE: Self = Self {
        #[cfg(feature = "schema")]
        makers: None,
    };

    /// Of a type that has a schema.
    #[cfg(feature = "schema")]
    #[must_use]
    pub const fn of<P: schemars::JsonSchema>() -> Self {
        Self {
            makers: Some(Makers {
                whole: SchemaGenerator::into_root_schema_for::<P>,
                part: SchemaGenerator::subschema_for::<P>,
            }),
        }
    }

    fn is_some(self) -> bool {
        #[cfg(feature = "schema")]
        return self.makers.is_some();
        #[cfg(not(feature = "schema"))]
        return false;
    }
}

impl std::fmt::Debug for SchemaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SchemaSource")
            .field(&self.is_some())
            .finish()
    }
}

impl Content {
    /// Says whether there is a JSON Schema.
    #[must_use]
    pub fn has_schema(&self) -> bool {
        self.source.is_some() && !self.is_opaque()
    }

    /// Returns the JSON Schema (draft 7), complete in itself, if the payload's type has one: it
    /// implements `schemars::JsonSchema` and this crate has the feature `schema`.
    #[must_use]
    pub fn json_schema(&self) -> Option<Value> {
        #[cfg(feature = "schema")]
        return self
            .source
            .makers
            .filter(|_| self.has_schema())
            .map(|makers| (makers.whole)(SchemaSettings::draft07().into_generator()).into());
        #[cfg(not(feature = "schema"))]
        return None;
    }
}

/// The schemas of one document, which share their definitions.
pub(super) struct Schemas {
    #[cfg(feature = "schema")]
    generator: SchemaGenerator,
}

#[cfg(feature = "schema")]
impl Schemas {
    /// Begins a document that has its definitions at a JSON pointer.
    pub(super) fn new(definitions: &'static str) -> Self {
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = definitions.into();
            settings.meta_schema = None;
        });
        Self {
            generator: settings.into_generator(),
        }
    }

    /// Returns the schema of a payload; what it refers to is among the definitions at the end.
    pub(super) fn of(&mut self, content: &Content) -> Option<Value> {
        let makers = content.source.makers.filter(|_| content.has_schema())?;
        let mut schema = (makers.part)(&mut self.generator);
        for transform in self.generator.transforms_mut() {
            transform.transform(&mut schema);
        }
        Some(schema.into())
    }

    /// Returns the definitions by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        self.generator.take_definitions(true)
    }
}

#[cfg(not(feature = "schema"))]
impl Schemas {
    pub(super) fn new(_: &'static str) -> Self {
        Self {}
    }

    pub(super) fn of(&mut self, _: &Content) -> Option<Value> {
        None
    }

    pub(super) fn finish(self) -> Map<String, Value> {
        Map::new()
    }
}
