//! The program from outside: what it says, how it exits, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority;
mod bad_input;
mod bootstrap;
mod bus;
mod certificates;
mod lab;
mod leaf;
mod leaf_node;
mod offline;
mod program;
mod wg;
