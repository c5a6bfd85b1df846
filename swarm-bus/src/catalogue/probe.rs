//! Whether a type has a JSON Schema, asked where the type is known: in the code that the derive
//! writes.
//!
//! A feature must only add: were every payload bound to have a schema as soon as some crate of a
//! program turns `schema` on, the topics of all others would no longer compile. So the derive calls
//! `(&Probe::<P>::NEW).schema_source()`, and the method that fits without another reference wins.

use super::SchemaSource;
use std::marker::PhantomData;

/// Stands for the type.
pub struct Probe<P>(PhantomData<P>);

impl<P> Probe<P> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

/// Of types with a schema, where the feature is on.
pub trait WithSchema {
    /// Returns how it is made.
    fn schema_source(&self) -> SchemaSource;
}

#[cfg(feature = "schema")]
impl<P: schemars::JsonSchema> WithSchema for Probe<P> {
    fn schema_source(&self) -> SchemaSource {
        SchemaSource::of::<P>()
    }
}

/// Of all types.
pub trait WithoutSchema {
    /// Returns that there is none.
    fn schema_source(&self) -> SchemaSource;
}

impl<P> WithoutSchema for &Probe<P> {
    fn schema_source(&self) -> SchemaSource {
        SchemaSource::NONE
    }
}
