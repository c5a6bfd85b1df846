//! Snapshots of what is rendered and told, laws of reading, and runs of the very programs that
//! read the rendered files.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is a failure with a place"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod fixture;
mod laws;
mod leaf;
mod messages;
mod nats;
mod programs;
mod readers;
mod rendering;
mod synapse;
