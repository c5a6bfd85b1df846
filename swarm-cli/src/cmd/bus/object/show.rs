//! Objects as they are shown.

use serde::Serialize;
use swarm_bus::object::{Listed, ObjectInfo};

use crate::cmd::bus::size::size;
use crate::report::{chain, one_line};

/// An object as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    name: String,
    size: u64,
    chunks: u64,
    sha256: String,
    /// RFC 3339 in UTC, by the server's clock.
    modified: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

/// One line of a list: an object, or what stands in the place of one.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Object(Shown),
    Link {
        name: String,
        link: String,
        modified: String,
    },
    Other {
        subject: String,
        problem: String,
    },
}

impl Shown {
    pub(super) fn new(info: &ObjectInfo) -> Self {
        Self {
            name: info.name.to_string(),
            size: info.size,
            chunks: info.chunks,
            sha256: info.digest.to_string(),
            modified: humantime::format_rfc3339_seconds(info.modified).to_string(),
            description: info.description.clone(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            format!("name         {}", self.name),
            format!("size         {} ({} bytes)", size(self.size), self.size),
            format!("chunks       {}", self.chunks),
            format!("sha256       {}", self.sha256),
            format!("modified     {}", self.modified),
        ];
        if !self.description.is_empty() {
            lines.push(format!("description  {}", one_line(&self.description)));
        }
        lines.join("\n")
    }
}

impl Line {
    pub(super) fn new(listed: &Listed) -> Self {
        match listed {
            Listed::Object(info) => Self::Object(Shown::new(info)),
            Listed::Link(link) => Self::Link {
                name: link.name.to_string(),
                link: link.target.to_string(),
                modified: humantime::format_rfc3339_seconds(link.modified).to_string(),
            },
            Listed::Unreadable { subject, error } => Self::Other {
                subject: subject.clone(),
                problem: chain(error),
            },
            other => Self::Other {
                subject: String::new(),
                problem: format!("{other:?}"),
            },
        }
    }

    pub(super) fn row(&self) -> Vec<String> {
        match self {
            Self::Object(shown) => vec![
                shown.name.clone(),
                size(shown.size),
                shown.modified.clone(),
                shown.sha256.clone(),
            ],
            Self::Link {
                name,
                link,
                modified,
            } => {
                vec![
                    name.clone(),
                    "-".to_owned(),
                    modified.clone(),
                    format!("-> {link}"),
                ]
            }
            Self::Other { subject, problem } => {
                vec![
                    subject.clone(),
                    "-".to_owned(),
                    "-".to_owned(),
                    format!("! {problem}"),
                ]
            }
        }
    }
}
