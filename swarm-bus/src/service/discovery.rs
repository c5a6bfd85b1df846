//! Finding services.

use super::control::Control;
use super::{ServiceInfo, ServiceName, ServicePing, ServiceStats, VERBS};
use crate::client::{Client, ManyBounds, PublishError, Replies, RequestError};
use crate::codec::{Json, Raw};
use crate::topic::ParseTopicError;
use crate::{Call, Parameters, Subject, Template, Token, Topic};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

mod sealed {
    /// Keeps the answers those of the specification.
    pub trait Sealed {
        /// The place of the verb among all.
        const VERB: usize;
    }
}
use sealed::Sealed;

/// What services answer with: [`ServicePing`], [`ServiceInfo`] or [`ServiceStats`].
pub trait ServiceAnswer: Sealed + Serialize + DeserializeOwned + Send + 'static {}

impl Sealed for ServicePing {
    const VERB: usize = 0;
}
impl ServiceAnswer for ServicePing {}
impl Sealed for ServiceInfo {
    const VERB: usize = 1;
}
impl ServiceAnswer for ServiceInfo {}
impl Sealed for ServiceStats {
    const VERB: usize = 2;
}
impl ServiceAnswer for ServiceStats {}

/// A question to services, whose answers are of type `A`.
///
/// ```
/// use swarm_bus::Topic;
/// use swarm_bus::service::{ServiceName, ServiceQuery, ServiceStats};
///
/// let query = ServiceQuery::<ServiceStats>::named(ServiceName::parse("calc")?);
/// assert_eq!(query.subject().as_str(), "$SRV.STATS.calc");
/// # Ok::<(), swarm_bus::service::ParseServiceError>(())
/// ```
#[derive(Debug)]
pub struct ServiceQuery<A> {
    control: Control,
    answer: PhantomData<fn() -> A>,
}

impl<A: ServiceAnswer> ServiceQuery<A> {
    /// Asks all services.
    #[must_use]
    pub fn all() -> Self {
        Self::new(Control::new(&VERBS[A::VERB], None, None))
    }

    /// Asks the instances of one name.
    #[must_use]
    pub fn named(name: ServiceName) -> Self {
        Self::new(Control::new(&VERBS[A::VERB], Some(&name), None))
    }

    /// Asks one instance.
    #[must_use]
    pub fn instance(name: ServiceName, id: Token) -> Self {
        Self::new(Control::new(&VERBS[A::VERB], Some(&name), Some(&id)))
    }

    fn new(control: Control) -> Self {
        Self {
            control,
            answer: PhantomData,
        }
    }
}

impl<A: ServiceAnswer> Topic for ServiceQuery<A> {
    type Payload = Bytes;
    type Codec = Raw;
    const TEMPLATE: Template = Control::TEMPLATE;

    fn parameters(&self) -> Parameters {
        self.control.parameters()
    }

    fn from_parameters(values: &[Token]) -> Result<Self, ParseTopicError> {
        Control::from_parameters(values).map(Self::new)
    }

    fn subject(&self) -> Subject {
        self.control.subject()
    }

    fn parse(subject: &Subject) -> Result<Self, ParseTopicError> {
        Control::parse(subject).map(Self::new)
    }
}

impl<A: ServiceAnswer> Call for ServiceQuery<A> {
    type Reply = A;
    type ReplyCodec = Json;
}

/// The services that answered.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Discovered {
    /// What they offer, by name and id.
    pub services: Vec<ServiceInfo>,
    /// Why others of the answers could not be read.
    pub unreadable: Vec<RequestError>,
}

impl Client {
    /// Asks services, and takes the answers as they come.
    ///
    /// # Errors
    /// [`PublishError`] when the question was not taken.
    pub fn query_services<A: ServiceAnswer>(
        &self,
        query: &ServiceQuery<A>,
        bounds: ManyBounds,
    ) -> Result<Replies<ServiceQuery<A>>, PublishError> {
        self.request_many(query, &Bytes::new(), bounds)
    }

    /// Finds all services. That there is none is no error.
    ///
    /// # Errors
    /// [`RequestError`] when this user may not ask, or the connection went meanwhile.
    pub async fn services(&self, bounds: ManyBounds) -> Result<Discovered, RequestError> {
        let mut replies = self.query_services(&ServiceQuery::<ServiceInfo>::all(), bounds)?;
        let mut discovered = Discovered::default();
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(info) => discovered.services.push(info),
                Err(RequestError::NoResponders { .. }) => {}
                Err(
                    error @ (RequestError::Decode(_)
                    | RequestError::Fault(_)
                    | RequestError::Missed { .. }),
                ) => discovered.unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        let key = |info: &ServiceInfo| (info.name.clone(), info.id.clone());
        discovered.services.sort_by_key(key);
        Ok(discovered)
    }
}
