//! Objects of any size, against a real server.

mod download;
mod hostile;
mod store;
mod upload;

use crate::raw::ask;
use crate::rig::soon;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use swarm_bus::Token;
use swarm_bus::client::Client;
use swarm_bus::object::{ObjectError, ObjectName, ObjectStore, ObjectStoreConfig};
use swarm_bus::permissions::{ObjectRight, Policy, Role};
use tokio::io::{AsyncRead, ReadBuf};

const BUCKET: Token = Token::from_static("files");

pub(crate) const USERS: [(&str, Role); 3] = [
    ("hub", Role::Hub),
    ("n1", Role::Edge),
    ("stranger", Role::Operator),
];

/// The hub may all, an edge reads, an operator may nothing.
fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with_objects(Role::Hub, ObjectRight::Write, BUCKET)
        .with_objects(Role::Edge, ObjectRight::Read, BUCKET)
}

pub(crate) fn name(text: &str) -> ObjectName {
    ObjectName::parse(text).unwrap()
}

/// Bytes that look like chance, another sequence for each seed.
fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A source that breaks.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::Error::other("broken")))
    }
}

async fn store(client: &Client) -> ObjectStore {
    let config = ObjectStoreConfig::new(BUCKET).unwrap();
    client.ensure_object_store(&config).await.unwrap();
    client.object_store(&BUCKET).await.unwrap()
}

/// How many chunks there are of each upload.
async fn chunks(client: &Client) -> BTreeMap<String, u64> {
    let body = r#"{"subjects_filter":"$O.files.C.>"}"#;
    let answer = ask(client, "$JS.API.STREAM.INFO.OBJ_files", body).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    serde_json::from_value(answer["state"]["subjects"].clone()).unwrap_or_default()
}

async fn read(store: &ObjectStore, name: &ObjectName) -> Result<Vec<u8>, ObjectError> {
    let mut all = Vec::new();
    soon(store.get(name, &mut all)).await?;
    Ok(all)
}
