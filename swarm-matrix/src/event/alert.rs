//! Alerts and their acknowledgement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ContentError, MessageContent, check_text, check_time, check_token, check_version};
use crate::id::UserId;

/// How grave an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// To be looked at.
    Warning,
    /// To be acted on now.
    Critical,
}

/// Whether what an alert tells of still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It holds.
    Firing,
    /// It is over.
    Resolved,
}

/// One alert. Event type `org.sovereign-swarm.alert`, end-to-end encrypted.
///
/// The sender together with `key` is what an alert is about: sent again it repeats, with another
/// severity it changes, resolved it ends. A node cannot repeat or resolve another node's alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AlertWire", into = "AlertWire")]
#[non_exhaustive]
pub struct Alert {
    /// What it is about, the same each time: `disk/data`, `uplink.starlink`. A token of at most
    /// 64 bytes (`a-z A-Z 0-9 . _ : / -`).
    pub key: String,
    /// How grave.
    pub severity: Severity,
    /// Whether it holds.
    pub state: AlertState,
    /// One line for a person, at most 512 bytes.
    pub summary: String,
    /// More for a person, at most 8,192 bytes.
    pub detail: Option<String>,
    /// What routes match on: at most 16 pairs, tokens and values of at most 256 bytes.
    pub labels: BTreeMap<String, String>,
    /// When it was seen: milliseconds since 1970, UTC, by the sender's clock.
    pub at: u64,
}

impl Alert {
    /// Makes a firing alert.
    pub fn new(
        key: impl Into<String>,
        severity: Severity,
        summary: impl Into<String>,
        at: u64,
    ) -> Self {
        Self {
            key: key.into(),
            severity,
            state: AlertState::Firing,
            summary: summary.into(),
            detail: None,
            labels: BTreeMap::new(),
            at,
        }
    }

    /// The same with more text.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a label.
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// The same, over: what it told of ended at `at`.
    pub fn resolved(mut self, at: u64) -> Self {
        self.state = AlertState::Resolved;
        self.at = at;
        self
    }
}

impl MessageContent for Alert {
    const TYPE: &'static str = "org.sovereign-swarm.alert";
}

/// Somebody has seen an alert. Event type `org.sovereign-swarm.alert.ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AckWire", into = "AckWire")]
#[non_exhaustive]
pub struct Acknowledgement {
    /// Whose alert.
    pub sender: UserId,
    /// The alert's key.
    pub key: String,
    /// A word from whoever acknowledges, at most 512 bytes.
    pub note: Option<String>,
    /// When: milliseconds since 1970, UTC.
    pub at: u64,
}

impl Acknowledgement {
    /// Acknowledges the alert `key` of `sender`.
    pub fn new(sender: UserId, key: impl Into<String>, at: u64) -> Self {
        Self {
            sender,
            key: key.into(),
            note: None,
            at,
        }
    }

    /// The same with a note.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

impl MessageContent for Acknowledgement {
    const TYPE: &'static str = "org.sovereign-swarm.alert.ack";
}

#[derive(Serialize, Deserialize)]
struct AlertWire {
    v: u64,
    key: String,
    severity: Severity,
    state: AlertState,
    summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    at: u64,
}

impl TryFrom<AlertWire> for Alert {
    type Error = ContentError;

    fn try_from(wire: AlertWire) -> Result<Self, ContentError> {
        check_version(wire.v)?;
        check_token("key", &wire.key)?;
        check_text("summary", &wire.summary, 512)?;
        if let Some(detail) = &wire.detail {
            check_text("detail", detail, 8_192)?;
        }
        if wire.labels.len() > 16 {
            return Err(ContentError::Field {
                field: "labels",
                reason: "more than 16",
            });
        }
        for (name, value) in &wire.labels {
            check_token("labels", name)?;
            check_text("labels", value, 256)?;
        }
        check_time("at", wire.at)?;
        let AlertWire {
            key,
            severity,
            state,
            summary,
            detail,
            labels,
            at,
            ..
        } = wire;
        Ok(Self {
            key,
            severity,
            state,
            summary,
            detail,
            labels,
            at,
        })
    }
}

impl From<Alert> for AlertWire {
    fn from(alert: Alert) -> Self {
        let Alert {
            key,
            severity,
            state,
            summary,
            detail,
            labels,
            at,
        } = alert;
        Self {
            v: 1,
            key,
            severity,
            state,
            summary,
            detail,
            labels,
            at,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AckWire {
    v: u64,
    sender: UserId,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    at: u64,
}

impl TryFrom<AckWire> for Acknowledgement {
    type Error = ContentError;

    fn try_from(wire: AckWire) -> Result<Self, ContentError> {
        check_version(wire.v)?;
        check_token("key", &wire.key)?;
        if let Some(note) = &wire.note {
            check_text("note", note, 512)?;
        }
        check_time("at", wire.at)?;
        Ok(Self {
            sender: wire.sender,
            key: wire.key,
            note: wire.note,
            at: wire.at,
        })
    }
}

impl From<Acknowledgement> for AckWire {
    fn from(ack: Acknowledgement) -> Self {
        Self {
            v: 1,
            sender: ack.sender,
            key: ack.key,
            note: ack.note,
            at: ack.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{decode, encode};
    use serde_json::{Value, json};

    #[test]
    fn an_alert_and_its_acknowledgement_survive_the_round_trip() {
        let alert = Alert::new("disk/data", Severity::Critical, "98 % full", 5)
            .with_detail("97.9 %\n2 GiB left")
            .with_label("mount", "/data");
        let wire = Value::Object(encode(&alert).unwrap());
        assert_eq!(decode::<Alert>(&wire).unwrap(), alert);

        let ack = Acknowledgement::new(UserId::parse("@edge1:swarm").unwrap(), "disk/data", 6)
            .with_note("on my way");
        let wire = Value::Object(encode(&ack).unwrap());
        assert_eq!(decode::<Acknowledgement>(&wire).unwrap(), ack);
    }

    #[test]
    fn what_cannot_be_read_back_is_refused() {
        let good = json!({"v": 1, "key": "k", "severity": "info", "state": "firing",
            "summary": "s", "at": 1});
        assert!(decode::<Alert>(&good).is_ok());
        for (field, value) in [
            ("key", json!("")),
            ("key", json!("a key")),
            ("severity", json!("loud")),
            ("summary", json!("x".repeat(513))),
            ("summary", json!("\u{1b}[31m")),
            ("v", json!(9)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(decode::<Alert>(&bad).is_err(), "{bad}");
        }
    }
}
