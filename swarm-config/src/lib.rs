//! One file describes a swarm: swarm.toml to a checked plan to rendered configuration.
