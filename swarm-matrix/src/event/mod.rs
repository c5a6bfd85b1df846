//! What an event says: the mesh's own contents, and how to make one's own.
//!
//! Matrix carries *canonical JSON*: no floats, no integer at or beyond 2^53, at most 65,536 bytes
//! an event. [`encode`] holds a content to that before it leaves, so that a server's refusal is a
//! bug and not a surprise; [`decode`] takes what a peer sent and never panics.

mod alert;
mod node;
mod telemetry;

pub use alert::{Acknowledgement, Alert, AlertState, Severity};
pub use node::{NodeState, NodeStatus};
pub use telemetry::{Rollup, Summary};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Bytes that a content may take, so that the event around it (sender, hashes, signatures,
/// encryption with its base64) stays within Matrix's 65,536.
pub const MAX_CONTENT_BYTES: usize = 40_000;

/// The largest magnitude of an integer in canonical JSON: 2^53 − 1.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Levels of objects and lists that a content may nest.
pub const MAX_DEPTH: usize = 32;

/// A content that a user keeps as state in a room, under its own user id as the state key.
///
/// # Example
/// ```
/// use serde::{Deserialize, Serialize};
/// use swarm_matrix::StateContent;
///
/// #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
/// struct Position { lat_microdegrees: i64, lon_microdegrees: i64 }
///
/// impl StateContent for Position {
///     const TYPE: &'static str = "org.example.position";
/// }
/// ```
pub trait StateContent: Serialize + DeserializeOwned + Clone + PartialEq + Send + 'static {
    /// The event type, in reversed-domain form. Not one of Matrix's own (`m.`).
    const TYPE: &'static str;
}

/// A content that is said once, in a room's timeline, end-to-end encrypted.
pub trait MessageContent: Serialize + DeserializeOwned + Send + 'static {
    /// The event type, in reversed-domain form. Not one of Matrix's own (`m.`).
    const TYPE: &'static str;
}

/// Why a content cannot be sent, or what was received cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The event type is empty, too long, Matrix's own, or holds other than `a-z 0-9 . _ -`.
    #[error("`{0}` cannot be the type of a content")]
    Type(String),
    /// The content is not a JSON object.
    #[error("a content is an object")]
    NotAnObject,
    /// There is a float.
    #[error("canonical json has no floats: `{path}`")]
    Float {
        /// Where, as a JSON pointer.
        path: String,
    },
    /// There is an integer at or beyond 2^53.
    #[error("an integer is at or beyond 2^53: `{path}`")]
    Integer {
        /// Where, as a JSON pointer.
        path: String,
    },
    /// There are more than [`MAX_DEPTH`] levels.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// There are more than [`MAX_CONTENT_BYTES`].
    #[error("{bytes} bytes, more than {MAX_CONTENT_BYTES}")]
    Size {
        /// Bytes as JSON.
        bytes: usize,
    },
    /// The content is of a version that this build does not know.
    #[error("version {found} of the content is newer than {known}")]
    Version {
        /// What it says.
        found: u64,
        /// The newest that is understood.
        known: u64,
    },
    /// A value is outside what its field permits.
    #[error("`{field}` is out of bounds: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// The bound that it breaks.
        reason: &'static str,
    },
    /// The content cannot be made into JSON or read from it.
    #[error("not a content of its type")]
    Json(#[from] serde_json::Error),
}

/// Makes a content into canonical JSON, checked; what its reader would refuse is refused here.
///
/// # Errors
/// When it is not an object, too large, too deep, holds a number that Matrix does not carry, or
/// cannot be read back.
pub fn encode<T: Serialize + DeserializeOwned>(
    content: &T,
) -> Result<Map<String, Value>, ContentError> {
    let Value::Object(map) = serde_json::to_value(content)? else {
        return Err(ContentError::NotAnObject);
    };
    check_map(&map, &mut String::new(), 1)?;
    let bytes = serde_json::to_string(&map)?.len();
    if bytes > MAX_CONTENT_BYTES {
        return Err(ContentError::Size { bytes });
    }
    let value = Value::Object(map);
    T::deserialize(&value)?;
    let Value::Object(map) = value else {
        return Err(ContentError::NotAnObject);
    };
    Ok(map)
}

/// Reads a content that a peer sent.
///
/// # Errors
/// When it is not a content of type `T`.
pub fn decode<T: DeserializeOwned>(content: &Value) -> Result<T, ContentError> {
    if !content.is_object() {
        return Err(ContentError::NotAnObject);
    }
    Ok(T::deserialize(content)?)
}

/// Checks that a text can be the type of one's own content.
///
/// # Errors
/// When it is empty, longer than 255 bytes, begins with `m.`, or holds other than
/// `a-z 0-9 . _ -`.
pub fn check_type(text: &str) -> Result<(), ContentError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let ours = !text.is_empty()
        && text.len() <= 255
        && !text.starts_with("m.")
        && text.bytes().all(allowed);
    if ours {
        Ok(())
    } else {
        Err(ContentError::Type(text.chars().take(80).collect()))
    }
}

fn check_map(
    map: &Map<String, Value>,
    path: &mut String,
    depth: usize,
) -> Result<(), ContentError> {
    map.iter()
        .try_for_each(|(name, value)| check_at(value, path, name, depth))
}

fn check_at(
    value: &Value,
    path: &mut String,
    name: &str,
    depth: usize,
) -> Result<(), ContentError> {
    let before = path.len();
    path.push('/');
    path.push_str(name);
    check(value, path, depth)?;
    path.truncate(before);
    Ok(())
}

fn check(value: &Value, path: &mut String, depth: usize) -> Result<(), ContentError> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) if number.is_f64() => Err(ContentError::Float { path: path.clone() }),
        Value::Number(number) => match number.as_i64() {
            Some(n) if n.unsigned_abs() <= MAX_INTEGER.unsigned_abs() => Ok(()),
            _ => Err(ContentError::Integer { path: path.clone() }),
        },
        _ if depth >= MAX_DEPTH => Err(ContentError::Depth),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check_at(item, path, &index.to_string(), depth + 1)),
        Value::Object(map) => check_map(map, path, depth + 1),
    }
}

/// The version that every content of the mesh's own carries as `v`.
fn check_version(found: u64) -> Result<(), ContentError> {
    const KNOWN: u64 = 1;
    if found <= KNOWN {
        Ok(())
    } else {
        Err(ContentError::Version {
            found,
            known: KNOWN,
        })
    }
}

/// Milliseconds since 1970 that canonical JSON can carry.
fn check_time(field: &'static str, millis: u64) -> Result<(), ContentError> {
    if millis <= MAX_INTEGER.unsigned_abs() {
        Ok(())
    } else {
        Err(ContentError::Field {
            field,
            reason: "beyond 2^53 milliseconds",
        })
    }
}

/// A short text: at most `max` bytes, no control characters but the line break.
fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), ContentError> {
    if text.len() > max {
        return Err(ContentError::Field {
            field,
            reason: "too long",
        });
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(ContentError::Field {
            field,
            reason: "holds control characters",
        });
    }
    Ok(())
}

/// A token: 1 to 64 bytes of `a-z A-Z 0-9 . _ : / -`.
fn check_token(field: &'static str, text: &str) -> Result<(), ContentError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
    if text.is_empty() || text.len() > 64 {
        return Err(ContentError::Field {
            field,
            reason: "1 to 64 bytes",
        });
    }
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(ContentError::Field {
            field,
            reason: "holds other than a-z A-Z 0-9 . _ : / -",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn floats_and_large_integers_are_refused_with_their_place() {
        let error = encode(&json!({"a": [1, {"b": 0.5}]})).unwrap_err();
        assert!(matches!(error, ContentError::Float { path } if path == "/a/1/b"));
        assert!(matches!(
            encode(&json!({"a": 9_007_199_254_740_992_i64})),
            Err(ContentError::Integer { path }) if path == "/a"
        ));
        assert!(encode(&json!({"a": MAX_INTEGER, "b": -MAX_INTEGER})).is_ok());
        assert!(encode(&json!({"a": u64::MAX})).is_err());
    }

    #[test]
    fn a_content_is_an_object_of_bounded_size_and_depth() {
        assert!(matches!(
            encode(&json!([1])),
            Err(ContentError::NotAnObject)
        ));
        assert!(matches!(
            encode(&json!({"a": "x".repeat(MAX_CONTENT_BYTES)})),
            Err(ContentError::Size { .. })
        ));
        let deep = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert!(matches!(
            encode(&json!({"a": deep})),
            Err(ContentError::Depth)
        ));
    }

    #[test]
    fn only_types_of_ones_own_are_types() {
        assert!(check_type("org.example.position").is_ok());
        for bad in ["", "m.room.member", "Org.Example", "org example"] {
            assert!(check_type(bad).is_err(), "{bad:?}");
        }
    }

    fn canonical() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-MAX_INTEGER..=MAX_INTEGER).prop_map(Value::from),
            ".{0,16}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_json_passes_unchanged(value in canonical()) {
            let content = json!({ "x": value });
            prop_assert_eq!(Value::Object(encode(&content).unwrap()), content);
        }
    }
}
