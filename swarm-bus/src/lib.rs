//! Typed subjects over NATS, permissions that follow from them, and delivery said honestly.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as swarm_bus;

pub mod codec;
pub mod envelope;
mod metric;
pub mod monitor;
pub mod permissions;
pub mod stream;
pub mod subject;
pub mod topic;
#[cfg(feature = "derive")]
pub mod topics;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(feature = "client", feature = "testing"))]
mod wire;

pub use codec::{Codec, Json, Raw};
pub use envelope::{Headers, MessageId};
pub use metric::{Metric, MetricKind};
pub use subject::{ParseSubjectError, Pattern, Subject, Token};
#[cfg(feature = "derive")]
pub use swarm_bus_derive::Topic;
pub use topic::{Call, Delivery, Filter, Parameter, ParseTopicError, Template, Topic};

/// What the code written by `derive(Topic)` calls.
#[doc(hidden)]
pub mod __private {
    use crate::{Parameter, ParseTopicError, Token};

    /// Takes the next value and reads it as the parameter `name`.
    pub fn parameter<P: Parameter>(
        values: &mut std::slice::Iter<'_, Token>,
        name: &'static str,
    ) -> Result<P, ParseTopicError> {
        let token = values.next().ok_or(ParseTopicError::Missing { name })?;
        P::from_token(token).ok_or_else(|| ParseTopicError::Parameter {
            name,
            token: token.clone(),
        })
    }
}

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
