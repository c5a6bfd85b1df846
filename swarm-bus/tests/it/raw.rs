//! Any subject with any bytes: what other software may do, or a program with a stolen key.

use crate::rig::SOON;
use bytes::Bytes;
use swarm_bus::client::Client;
use swarm_bus::topic::ParseTopicError;
use swarm_bus::{Call, Delivery, Parameters, Raw, Subject, Template, Token, Topic};

/// Any subject at all.
pub(crate) struct Any(Subject);

impl Topic for Any {
    type Payload = Bytes;
    type Codec = Raw;
    const TEMPLATE: Template = Template::new("any");
    const DELIVERY: Delivery = Delivery::Stored;

    fn parameters(&self) -> Parameters {
        Parameters::new()
    }

    fn from_parameters(_: &[Token]) -> Result<Self, ParseTopicError> {
        Ok(Self(Subject::from_static("any")))
    }

    fn subject(&self) -> Subject {
        self.0.clone()
    }
}

impl Call for Any {
    type Reply = Bytes;
    type ReplyCodec = Raw;
}

pub(crate) fn any(subject: &str) -> Any {
    Any(Subject::parse(subject).unwrap())
}

/// Asks JetStream.
pub(crate) async fn ask(client: &Client, subject: &str, body: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let answer = client.request(&any(subject), &body, SOON).await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}
