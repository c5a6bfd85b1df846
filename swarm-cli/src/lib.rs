//! The swarm command, and the swarm library that embeds a mesh node in a Rust service.
