//! Requests about consumers.

use super::{Answer, DESCRIPTIONS, NAMES, Page, is_empty, paged, parse, parse_or_default};
use crate::testing::core::jetstream::config::{ConsumerConfig, is_name};
use crate::testing::core::jetstream::error::ApiError;
use crate::testing::core::jetstream::stream::Stream;
use crate::testing::core::jetstream::{Context, JetStream};
use serde::Deserialize;
use serde_json::json;

impl JetStream {
    pub(super) fn consumer_names(&mut self, stream: &str, payload: &[u8]) -> Answer {
        let page: Page = parse_or_default(payload)?;
        let names = self
            .stream(stream)?
            .consumers
            .keys()
            .map(|name| json!(name));
        Ok(paged("consumers", names.collect(), page.offset, NAMES))
    }

    pub(super) fn consumer_list(
        &mut self,
        stream: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Answer {
        let page: Page = parse_or_default(payload)?;
        let Stream {
            consumers, store, ..
        } = self.stream(stream)?;
        let infos = consumers
            .values_mut()
            .map(|consumer| consumer.info(store, context));
        Ok(paged(
            "consumers",
            infos.collect(),
            page.offset,
            DESCRIPTIONS,
        ))
    }

    pub(super) fn create_consumer(
        &mut self,
        stream: &str,
        name: Option<&str>,
        durable: bool,
        filter: Option<&str>,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Answer {
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Request {
            stream_name: String,
            config: ConsumerConfig,
        }
        let Request {
            stream_name,
            mut config,
        } = parse(payload)?;
        if stream_name != stream {
            return Err(ApiError::STREAM_MISMATCH);
        }
        match (name, durable) {
            (Some(_), true) if !config.is_durable() => return Err(ApiError::DURABLE_NOT_SET),
            (Some(name), _) if config.is_durable() && config.durable_name != name => {
                return Err(ApiError::DURABLE_MISMATCH);
            }
            (Some(name), false) => name.clone_into(&mut config.name),
            (None, _) if config.is_durable() => return Err(ApiError::EPHEMERAL_WITH_DURABLE),
            _ => {}
        }
        if filter.is_some_and(|filter| config.filter_subject != filter) {
            return Err(ApiError::FILTER_MISMATCH);
        }
        if config.num_replicas > 1 {
            return Err(ApiError::REPLICAS);
        }
        let stream = self.stream(stream)?;
        let name = match (config.durable_name.as_str(), config.name.as_str()) {
            ("", "") => {
                config.name = context.id();
                config.name.clone()
            }
            ("", name) | (name, _) => name.to_owned(),
        };
        if !is_name(&name) {
            return Err(ApiError::BAD_DURABLE);
        }
        let wakes = stream.ensure_consumer(name.clone(), config, context.now)?;
        let answer = stream.consumer_info(&name, context);
        if wakes {
            stream.wake(&name, context);
        }
        answer
    }

    pub(super) fn consumer_info(
        &mut self,
        stream: &str,
        name: &str,
        context: &mut Context<'_>,
    ) -> Answer {
        self.stream(stream)?.consumer_info(name, context)
    }

    pub(super) fn delete_consumer(
        &mut self,
        stream: &str,
        name: &str,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Answer {
        if !is_empty(payload) {
            return Err(ApiError::NOT_EMPTY_REQUEST);
        }
        match self.stream(stream)?.delete_consumer(name, context) {
            true => Ok(json!({"success": true})),
            false => Err(ApiError::CONSUMER_NOT_FOUND),
        }
    }
}

impl Stream {
    pub(super) fn consumer_info(&mut self, name: &str, context: &mut Context<'_>) -> Answer {
        let consumer = self.consumers.get_mut(name);
        let consumer = consumer.ok_or(ApiError::CONSUMER_NOT_FOUND)?;
        Ok(consumer.info(&self.store, context))
    }
}
