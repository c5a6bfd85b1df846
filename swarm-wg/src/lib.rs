//! A userspace WireGuard tunnel to embed: sans-IO core, Linux TUN shell, live peers.
