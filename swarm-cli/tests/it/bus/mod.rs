//! `swarm bus`, each command against a real server with the configuration that a hub renders.

mod endings;
mod hub;
mod kv;
mod messages;
mod objects;
mod services;
mod spool;
mod streams;
mod topics;
mod transfers;

use std::io::BufReader;
use std::process::{Child, ChildStdin, ChildStdout};

use serde_json::json;

use hub::Hub;

fn event(number: u64) -> String {
    json!({"at": number, "event": {"kind": "up"}}).to_string()
}

/// Bytes of which no two chunks are alike.
fn content(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

/// Starts a command on the hub, with its input and its output.
fn fed_slowly(hub: &Hub, arguments: &[&str]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = hub.start_command(&hub.swarm, arguments);
    let input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, input, output)
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
