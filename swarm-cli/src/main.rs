//! The `swarm` command.

fn main() {}
