//! Makes streams and consumers what they shall be.

use super::api::{SOURCES, difference};
use super::{ConsumerConfig, StreamConfig, StreamError};
use crate::client::Client;
use serde_json::{Map, Value, json};

/// What had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It did not exist.
    Created,
    /// It existed otherwise.
    Updated,
    /// Nothing.
    Unchanged,
}

impl Client {
    /// Makes a stream what it shall be: made if there is none, changed if it is otherwise. Fields
    /// that [`StreamConfig`] does not have keep their values.
    ///
    /// # Errors
    /// [`StreamError`]; [`Unsupported`](StreamError::Unsupported) before anything is sent, when the
    /// server would ignore a part of it.
    pub async fn ensure_stream(&self, config: &StreamConfig) -> Result<Ensured, StreamError> {
        config.check(self.server_version()?)?;
        let name = &config.name;
        let mut asked = config.to_json();
        let info = self.api(format_args!("STREAM.INFO.{name}"));
        let (present, verb) = match self.stream_api(&info, &Value::Null).await {
            Ok(present) => (Some(present), "UPDATE"),
            Err(StreamError::NoStream) => (None, "CREATE"),
            Err(error) => return Err(error),
        };
        // Said only where there is something to take away.
        if present.as_ref().is_some_and(|p| p.contains_key(SOURCES)) {
            asked.entry(SOURCES).or_insert_with(|| json!([]));
        }
        let subject = self.api(format_args!("STREAM.{verb}.{name}"));
        self.ensure(present, asked, |config| (subject, Value::Object(config)))
            .await
    }

    /// Makes a durable pull consumer what it shall be.
    ///
    /// # Errors
    /// [`StreamError`], as [`ensure_stream`](Self::ensure_stream). What JetStream does not change
    /// in a consumer that exists, such as where it begins, it refuses.
    pub async fn ensure_consumer(&self, config: &ConsumerConfig) -> Result<Ensured, StreamError> {
        config.check(self.server_version()?)?;
        let (stream, durable) = (&config.stream, &config.durable);
        let asked = config.to_json();
        let info = self.api(format_args!("CONSUMER.INFO.{stream}.{durable}"));
        let present = match self.stream_api(&info, &Value::Null).await {
            Ok(present) => Some(present),
            Err(StreamError::NoConsumer) => None,
            Err(error) => return Err(error),
        };
        let subject = self.api(format_args!("CONSUMER.DURABLE.CREATE.{stream}.{durable}"));
        self.ensure(present, asked, |config| {
            (subject, json!({"stream_name": stream, "config": config}))
        })
        .await
    }

    async fn ensure(
        &self,
        present: Option<Map<String, Value>>,
        asked: Map<String, Value>,
        request: impl FnOnce(Map<String, Value>) -> (String, Value),
    ) -> Result<Ensured, StreamError> {
        let outcome = match &present {
            Some(present) if difference(&asked, present).is_none() => {
                return Ok(Ensured::Unchanged);
            }
            Some(_) => Ensured::Updated,
            None => Ensured::Created,
        };
        let mut wanted = present.unwrap_or_default();
        wanted.extend(asked.clone());
        let (subject, body) = request(wanted);
        let given = self.stream_api(&subject, &body).await?;
        match difference(&asked, &given) {
            Some(field) => Err(StreamError::Ignored {
                field: field.to_owned(),
            }),
            None => Ok(outcome),
        }
    }
}
