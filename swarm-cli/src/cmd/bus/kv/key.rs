//! Keys and values, typed where the bucket is the mesh's own.

use std::hash::Hash;

use bytes::Bytes;
use serde_json::{Value, json};
use swarm_bus::kv::{AnyKey, ParseKeyError};
use swarm_bus::topics::NodeState;
use swarm_bus::{Filter, Pattern, Token, Topic};

use crate::report::{Failure, chain};

/// A key of a bucket, and how its values are read and shown.
pub(super) trait Key: Topic + Clone + Eq + Hash {
    fn read(bucket: &Token, key: &str) -> Result<Self, Failure>;
    fn filter(bucket: &Token, keys: &Pattern) -> Result<Filter<Self>, Failure>;
    fn value(bytes: Vec<u8>) -> Result<Self::Payload, Failure>;
    fn show(value: &Self::Payload) -> Value;
    fn bytes(value: &Self::Payload) -> Bytes;
    /// The key without its bucket.
    fn text(&self) -> String;
}

impl Key for NodeState {
    fn read(bucket: &Token, key: &str) -> Result<Self, Failure> {
        let refused = || {
            Failure::input(format!("{key} is no key of {bucket}"))
                .hint("a key there is NODE.KEY, such as edge1.mode")
        };
        // what every client takes for a key
        AnyKey::parse_key(bucket, key).map_err(|_| refused())?;
        let (node, key) = key.split_once('.').ok_or_else(refused)?;
        Ok(Self {
            node: Token::parse(node).map_err(|_| refused())?,
            key: Token::parse(key).map_err(|_| refused())?,
        })
    }

    fn filter(bucket: &Token, keys: &Pattern) -> Result<Filter<Self>, Failure> {
        let tokens: Vec<_> = keys.as_str().split('.').collect();
        let place = |token: &str| match token {
            "*" | ">" => Ok(None),
            token => Token::parse(token).map(Some),
        };
        let places = match tokens.as_slice() {
            [">"] => Ok((None, None)),
            [node, key] => place(node).and_then(|node| Ok((node, place(key)?))),
            _ => {
                return Err(
                    Failure::input(format!("{bucket} has no keys that match {keys}"))
                        .hint("a key there is NODE.KEY: try 'edge1.*', '*.mode' or '>'"),
                );
            }
        };
        let (node, key) = places.map_err(|error| Failure::input(chain(&error)))?;
        Ok(Self::filter(node.as_ref(), key.as_ref()))
    }

    fn value(bytes: Vec<u8>) -> Result<Value, Failure> {
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::input(format!("the value is no JSON: {error}"))
                .hint("a text needs its quotes, past the shell: '\"night\"'")
        })
    }

    fn show(value: &Value) -> Value {
        value.clone()
    }

    fn bytes(value: &Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    fn text(&self) -> String {
        format!("{}.{}", self.node, self.key)
    }
}

impl Key for AnyKey {
    fn read(bucket: &Token, key: &str) -> Result<Self, Failure> {
        Self::parse_key(bucket, key).map_err(|error| refused(&error))
    }

    fn filter(bucket: &Token, keys: &Pattern) -> Result<Filter<Self>, Failure> {
        Self::matching(bucket, keys).map_err(|error| refused(&error))
    }

    fn value(bytes: Vec<u8>) -> Result<Bytes, Failure> {
        Ok(bytes.into())
    }

    fn show(value: &Bytes) -> Value {
        readable(value)
    }

    fn bytes(value: &Bytes) -> Bytes {
        value.clone()
    }

    fn text(&self) -> String {
        self.key().to_owned()
    }
}

fn refused(error: &ParseKeyError) -> Failure {
    Failure::input(chain(error)).hint("letters, digits and - / _ = between dots make a key")
}

/// Bytes as a person or a program reads them: JSON, else text that a terminal can bear, else base64.
pub(in crate::cmd::bus) fn readable(bytes: &Bytes) -> Value {
    use base64::Engine as _;
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    let plain = |text: &&str| {
        text.chars()
            .all(|c| !c.is_control() || matches!(c, '\n' | '\t'))
    };
    match std::str::from_utf8(bytes).ok().filter(plain) {
        Some(text) => Value::String(text.to_owned()),
        None => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_mesh_have_a_node_and_a_name() {
        let bucket = Token::from_static("swarm-state");
        let key = <NodeState as Key>::read(&bucket, "edge1.mode").unwrap();
        assert_eq!(key.text(), "edge1.mode");
        for bad in [
            "",
            "edge1",
            "edge1.a.b",
            "edge1.",
            ".a",
            "edge1.*",
            "edge1.a b",
        ] {
            assert!(<NodeState as Key>::read(&bucket, bad).is_err(), "{bad}");
        }
        let filter = |keys: &str| {
            let keys = Pattern::parse(keys).unwrap();
            let filter = <NodeState as Key>::filter(&bucket, &keys);
            filter.ok().map(|filter| filter.pattern().to_string())
        };
        for (keys, pattern) in [
            (">", "$KV.swarm-state.*.*"),
            ("edge1.*", "$KV.swarm-state.edge1.*"),
            ("edge1.>", "$KV.swarm-state.edge1.*"),
            ("*.mode", "$KV.swarm-state.*.mode"),
        ] {
            assert_eq!(filter(keys).as_deref(), Some(pattern), "{keys}");
        }
        assert_eq!(filter("edge1"), None);
        assert_eq!(filter("a.b.c"), None);
    }

    #[test]
    fn bytes_that_would_act_on_a_terminal_are_not_shown_as_text() {
        assert_eq!(readable(&Bytes::from_static(b"{\"a\":1}")), json!({"a": 1}));
        assert_eq!(
            readable(&Bytes::from_static(b"plain text")),
            json!("plain text")
        );
        for bytes in [&b"\x1b[2J"[..], b"\xff\xfe", b"a\rb"] {
            let shown = readable(&Bytes::from_static(bytes));
            assert!(shown["base64"].is_string(), "{shown}");
        }
    }
}
