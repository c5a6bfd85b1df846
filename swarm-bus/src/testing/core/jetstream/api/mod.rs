//! JetStream's requests: JSON in, JSON out.
//!
//! <https://docs.nats.io/reference/reference-protocols/nats_api_reference>

mod consumers;

use super::config::{StorageType, StreamConfig};
use super::direct::Wanted;
use super::error::ApiError;
use super::stream::{Purge, Stream};
use super::time::rfc3339;
use super::{Context, JetStream, MAX_STREAMS};
use crate::testing::core::message::Message;
use crate::{Pattern, Subject};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many names, and how many descriptions, come in one answer.
const NAMES: usize = 1024;
const DESCRIPTIONS: usize = 256;
/// How many subjects come in one answer.
const SUBJECTS: usize = 100_000;

type Answer = Result<Value, ApiError>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    offset: usize,
    subject: String,
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(payload).map_err(|_| ApiError::INVALID_JSON)
}

/// Reads a request that may be left out.
fn parse_or_default<T: DeserializeOwned + Default>(payload: &[u8]) -> Result<T, ApiError> {
    match is_empty(payload) {
        true => Ok(T::default()),
        false => parse(payload),
    }
}

fn is_empty(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii(), b"" | b"{}" | b"[]")
}

impl JetStream {
    /// Answers a request. As with a server, what no part of the API has is not answered.
    pub(super) fn handle_api(&mut self, message: &Message, context: &mut Context<'_>) {
        let reply = message
            .reply
            .as_deref()
            .and_then(|reply| Subject::parse(reply).ok());
        let tokens: Vec<&str> = message.route.tokens().skip(2).collect();
        let payload = &message.payload[..];
        match (tokens.as_slice(), &reply) {
            (["DIRECT", "GET", stream], Some(reply)) => {
                self.handle_direct(stream, None, payload, reply, context);
            }
            (["DIRECT", "GET", stream, subject @ ..], Some(reply)) => {
                self.handle_direct(stream, Some(&subject.join(".")), payload, reply, context);
            }
            (["CONSUMER", "MSG", "NEXT", stream, consumer], Some(reply)) => {
                if let Some(stream) = self.streams.get_mut(*stream) {
                    stream.handle_request(consumer, reply, payload, context);
                }
            }
            (tokens, reply) => {
                let Some((kind, answer)) = self.answer(tokens, payload, context) else {
                    return;
                };
                let mut body = answer.unwrap_or_else(|error| json!({"error": error}));
                body["type"] = json!(format!("io.nats.jetstream.api.v1.{kind}_response"));
                if let Some(reply) = reply {
                    context.send(Message::answer(reply, body.to_string()));
                }
            }
        }
    }

    fn handle_direct(
        &self,
        stream: &str,
        subject: Option<&str>,
        payload: &[u8],
        reply: &Subject,
        context: &mut Context<'_>,
    ) {
        let stream = self.streams.get(stream);
        if let Some(stream) = stream.filter(|stream| stream.config.allow_direct) {
            stream.handle_direct(subject, payload, reply, context);
        }
    }

    /// Returns the kind of answer and the answer; `None` for what the API does not have.
    fn answer(
        &mut self,
        tokens: &[&str],
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Option<(&'static str, Answer)> {
        Some(match tokens {
            ["INFO"] => ("account_info", Ok(self.account())),
            ["STREAM", "NAMES"] => ("stream_names", self.stream_names(payload)),
            ["STREAM", "LIST"] => ("stream_list", self.stream_list(payload)),
            ["STREAM", "CREATE", name] => {
                ("stream_create", self.create_stream(name, payload, context))
            }
            ["STREAM", "UPDATE", name] => {
                ("stream_update", self.update_stream(name, payload, context))
            }
            ["STREAM", "INFO", name] => ("stream_info", self.stream_info(name, payload)),
            ["STREAM", "DELETE", name] => {
                ("stream_delete", self.delete_stream(name, payload, context))
            }
            ["STREAM", "PURGE", name] => ("stream_purge", self.purge(name, payload, context)),
            ["STREAM", "MSG", "GET", name] => ("stream_msg_get", self.message(name, payload)),
            ["STREAM", "MSG", "DELETE", name] => (
                "stream_msg_delete",
                self.delete_message(name, payload, context),
            ),
            ["CONSUMER", "NAMES", name] => ("consumer_names", self.consumer_names(name, payload)),
            ["CONSUMER", "LIST", name] => {
                ("consumer_list", self.consumer_list(name, payload, context))
            }
            ["CONSUMER", "DURABLE", "CREATE", stream, name] => {
                let answer = self.create_consumer(stream, Some(name), true, None, payload, context);
                ("consumer_create", answer)
            }
            ["CONSUMER", "CREATE", stream] => {
                let answer = self.create_consumer(stream, None, false, None, payload, context);
                ("consumer_create", answer)
            }
            ["CONSUMER", "CREATE", stream, name, filter @ ..] => {
                let filter = (!filter.is_empty()).then(|| filter.join("."));
                let filter = filter.as_deref();
                let answer =
                    self.create_consumer(stream, Some(name), false, filter, payload, context);
                ("consumer_create", answer)
            }
            ["CONSUMER", "INFO", stream, name] => {
                ("consumer_info", self.consumer_info(stream, name, context))
            }
            ["CONSUMER", "DELETE", stream, name] => (
                "consumer_delete",
                self.delete_consumer(stream, name, payload, context),
            ),
            ["STREAM", "SNAPSHOT" | "RESTORE", _] => {
                ("stream_snapshot", Err(ApiError::absent("snapshots")))
            }
            ["STREAM", "TEMPLATE", ..] => (
                "stream_template_create",
                Err(ApiError::absent("stream templates")),
            ),
            ["STREAM", "PEER" | "LEADER", ..] | ["CONSUMER", "LEADER", ..] => {
                ("stream_leader_stepdown", Err(ApiError::absent("cluster")))
            }
            _ => return None,
        })
    }

    fn account(&self) -> Value {
        let consumers: usize = self
            .streams
            .values()
            .map(|stream| stream.consumers.len())
            .sum();
        let bytes: u64 = self
            .streams
            .values()
            .map(|stream| stream.store.bytes())
            .sum();
        json!({
            "memory": 0,
            "storage": bytes,
            "streams": self.streams.len(),
            "consumers": consumers,
            "limits": {
                "max_memory": -1,
                "max_storage": -1,
                "max_streams": -1,
                "max_consumers": -1,
                "max_ack_pending": -1,
                "memory_max_stream_bytes": -1,
                "storage_max_stream_bytes": -1,
                "max_bytes_required": false,
            },
            "api": {"total": 0, "errors": 0},
        })
    }

    fn stream(&mut self, name: &str) -> Result<&mut Stream, ApiError> {
        self.streams.get_mut(name).ok_or(ApiError::STREAM_NOT_FOUND)
    }

    fn create_stream(&mut self, name: &str, payload: &[u8], context: &mut Context<'_>) -> Answer {
        let config: StreamConfig = parse(payload)?;
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH);
        }
        let config = config.check()?;
        let mut created = false;
        match self.streams.get(name) {
            Some(present) if present.config == config => {}
            Some(_) => return Err(ApiError::STREAM_NAME_IN_USE),
            None if self.streams.len() >= MAX_STREAMS => return Err(ApiError::MAXIMUM_STREAMS),
            None => {
                if self.streams.values().any(|other| other.overlaps(&config)) {
                    return Err(ApiError::SUBJECTS_OVERLAP);
                }
                let stream = Stream::new(config, context.now);
                self.streams.insert(name.to_owned(), stream);
                created = true;
            }
        }
        let mut info = self.stream(name)?.info();
        // A server says so even of a stream that was there, alike.
        let _ = created;
        info["did_create"] = json!(true);
        Ok(info)
    }

    fn update_stream(&mut self, name: &str, payload: &[u8], context: &mut Context<'_>) -> Answer {
        let config = parse::<StreamConfig>(payload)?.check()?;
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH);
        }
        config.check_update(&self.stream(name)?.config)?;
        let mut others = self.streams.iter().filter(|(other, _)| *other != name);
        if others.any(|(_, other)| other.overlaps(&config)) {
            return Err(ApiError::SUBJECTS_OVERLAP);
        }
        let stream = self.stream(name)?;
        stream.update(config, context);
        Ok(stream.info())
    }

    fn stream_info(&mut self, name: &str, payload: &[u8]) -> Answer {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Request {
            subjects_filter: String,
            offset: usize,
        }
        let request: Request = parse_or_default(payload)?;
        let stream = self.stream(name)?;
        let mut info = stream.info();
        if let Ok(filter) = Pattern::parse(&request.subjects_filter) {
            let all = stream.store.per_subject(Some(&filter));
            let all: Vec<_> = all
                .map(|(subject, all)| (subject.to_string(), all.len()))
                .collect();
            let offset = request.offset.min(all.len());
            let page: BTreeMap<_, _> = all.iter().skip(offset).take(SUBJECTS).cloned().collect();
            if !all.is_empty() {
                info["state"]["subjects"] = json!(page);
                info["total"] = json!(all.len());
                info["offset"] = json!(offset);
                info["limit"] = json!(SUBJECTS);
            }
        }
        Ok(info)
    }

    fn delete_stream(&mut self, name: &str, payload: &[u8], context: &mut Context<'_>) -> Answer {
        if !is_empty(payload) {
            return Err(ApiError::NOT_EMPTY_REQUEST);
        }
        let mut stream = self
            .streams
            .remove(name)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        for consumer in stream.consumers.values_mut() {
            consumer.end(context);
        }
        Ok(json!({"success": true}))
    }

    fn purge(&mut self, name: &str, payload: &[u8], context: &mut Context<'_>) -> Answer {
        let request: Purge = parse_or_default(payload)?;
        if request.seq > 0 && request.keep > 0 {
            return Err(ApiError::BAD_REQUEST);
        }
        let stream = self.stream(name)?;
        if stream.config.deny_purge {
            return Err(ApiError::purge_failed("stream purge not permitted"));
        }
        let purged = stream.purge(&request, context);
        Ok(json!({"success": true, "purged": purged}))
    }

    fn message(&mut self, name: &str, payload: &[u8]) -> Answer {
        if is_empty(payload) {
            return Err(ApiError::BAD_REQUEST);
        }
        let wanted: Wanted = parse(payload)?;
        if !wanted.is_sound() {
            return Err(ApiError::BAD_REQUEST);
        }
        let store = &self.stream(name)?.store;
        let (sequence, stored) = wanted.find(store).ok_or(ApiError::NO_MESSAGE)?;
        let mut message = json!({
            "subject": stored.subject,
            "seq": sequence,
            "time": rfc3339(stored.at),
        });
        for (name, bytes) in [("hdrs", &stored.headers), ("data", &stored.payload)] {
            if !bytes.is_empty() {
                message[name] = json!(base64(bytes));
            }
        }
        Ok(json!({"message": message}))
    }

    fn delete_message(&mut self, name: &str, payload: &[u8], context: &mut Context<'_>) -> Answer {
        #[derive(Deserialize)]
        struct Request {
            #[serde(default)]
            seq: u64,
        }
        if is_empty(payload) {
            return Err(ApiError::BAD_REQUEST);
        }
        let request: Request = parse(payload)?;
        let stream = self.stream(name)?;
        if stream.config.deny_delete {
            return Err(ApiError::delete_failed("message delete not permitted"));
        }
        if stream.delete_message(request.seq, context) {
            return Ok(json!({"success": true}));
        }
        let (first, last) = (stream.store.first(), stream.store.last());
        Err(match stream.config.storage {
            StorageType::File if request.seq > last => ApiError::delete_failed("stream store EOF"),
            StorageType::File if request.seq < first.max(1) => {
                ApiError::delete_failed("no message found")
            }
            _ => ApiError::sequence_not_found(request.seq),
        })
    }

    /// The streams of a page: those that keep a subject of the pattern asked for.
    fn page(&self, payload: &[u8]) -> Result<(Vec<&Stream>, usize), ApiError> {
        let page: Page = parse_or_default(payload)?;
        let filter = Pattern::parse(&page.subject).ok();
        let keeps = |stream: &&Stream| {
            let mut patterns = stream.config.patterns();
            let filter = filter.as_ref();
            filter.is_none_or(|filter| patterns.any(|pattern| pattern.overlaps(filter)))
        };
        Ok((self.streams.values().filter(keeps).collect(), page.offset))
    }

    fn stream_names(&self, payload: &[u8]) -> Answer {
        let (streams, offset) = self.page(payload)?;
        let names = streams.iter().map(|stream| json!(stream.config.name));
        Ok(paged("streams", names.collect(), offset, NAMES))
    }

    fn stream_list(&self, payload: &[u8]) -> Answer {
        let (streams, offset) = self.page(payload)?;
        let infos = streams.iter().map(|stream| stream.info());
        Ok(paged("streams", infos.collect(), offset, DESCRIPTIONS))
    }
}

fn paged(name: &str, all: Vec<Value>, offset: usize, limit: usize) -> Value {
    let total = all.len();
    let offset = offset.min(total);
    let page: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    let mut answer = Map::new();
    answer.insert("total".into(), json!(total));
    answer.insert("offset".into(), json!(offset));
    answer.insert("limit".into(), json!(limit));
    answer.insert(name.to_owned(), Value::Array(page));
    Value::Object(answer)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4_usize {
            match at <= chunk.len() {
                true => text.push(DIGITS[(bits >> (18 - 6 * at) & 63) as usize].into()),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_rfc_4648_says() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
