//! The subjects under `$SRV`, on both sides.

use super::{ServiceName, VERBS};
use crate::codec::Raw;
use crate::topic::ParseTopicError;
use crate::{Call, Parameters, Subject, Template, Token, Topic};
use bytes::Bytes;

/// One subject of discovery: `$SRV.<verb>`, `$SRV.<verb>.<name>` or `$SRV.<verb>.<name>.<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control(Subject);

impl Control {
    pub(super) fn new(verb: &Token, name: Option<&ServiceName>, id: Option<&Token>) -> Self {
        let mut text = format!("$SRV.{verb}");
        for part in name.map(ServiceName::token).into_iter().chain(id) {
            text.push('.');
            text.push_str(part.as_str());
        }
        Self(Subject::from_checked(text))
    }

    /// Returns what an instance answers to, and the verb of each.
    pub(super) fn all(name: &ServiceName, id: &Token) -> Vec<(Token, Self)> {
        VERBS
            .iter()
            .flat_map(|verb| {
                [
                    Self::new(verb, None, None),
                    Self::new(verb, Some(name), None),
                    Self::new(verb, Some(name), Some(id)),
                ]
                .map(|control| (verb.clone(), control))
            })
            .collect()
    }
}

impl Topic for Control {
    type Payload = Bytes;
    type Codec = Raw;
    /// The longest of the three; subjects are made and read as a whole.
    const TEMPLATE: Template = Template::new("$SRV.{verb}.{name}.{id}");

    fn parameters(&self) -> Parameters {
        self.0.tokens().skip(1).flat_map(Token::parse).collect()
    }

    fn from_parameters(values: &[Token]) -> Result<Self, ParseTopicError> {
        let parts: Vec<_> = values.iter().map(Token::as_str).collect();
        Ok(Self(Subject::parse(&format!("$SRV.{}", parts.join(".")))?))
    }

    fn subject(&self) -> Subject {
        self.0.clone()
    }

    fn parse(subject: &Subject) -> Result<Self, ParseTopicError> {
        Ok(Self(subject.clone()))
    }
}

impl Call for Control {
    type Reply = Bytes;
    type ReplyCodec = Raw;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_answers_to_nine_subjects() {
        let name = ServiceName::parse("calc").unwrap();
        let all = Control::all(&name, &Token::from_static("x1"));
        let subjects: Vec<_> = all.iter().map(|(_, c)| c.subject().to_string()).collect();
        assert_eq!(
            subjects,
            [
                "$SRV.PING",
                "$SRV.PING.calc",
                "$SRV.PING.calc.x1",
                "$SRV.INFO",
                "$SRV.INFO.calc",
                "$SRV.INFO.calc.x1",
                "$SRV.STATS",
                "$SRV.STATS.calc",
                "$SRV.STATS.calc.x1",
            ]
        );
        for (_, control) in all {
            assert_eq!(Control::from_parameters(&control.parameters()), Ok(control));
        }
    }
}
