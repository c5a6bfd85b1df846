//! Every figure of the workspace, measured beside its rivals: the table of contents.
//!
//! | bench | what |
//! |---|---|
//! | `bus_client` | publishing, asking and storing through the bus, beside async-nats |
//! | `bus_memory` | what 10,000 subscriptions of a client keep in memory |
//! | `bus_spool` | messages a second into the spool on disk, and out of it into a stream |
//! | `bus_subjects` | matching patterns, reading and writing topics, beside `split` and `format!` |
//! | `pki` | issuing beside rcgen, verifying beside rustls-webpki, rosters and long revocation lists |
//! | `pki_memory` | what a trust with 10,000 nodes keeps in memory |
//! | `pki_store` | certificates a second through the authority's directory, and opening one that has many |
//! | `pki_tls` | a mutual TLS handshake through the mesh's configurations, beside bare rustls |
//! | `startup` | how long `swarm --version` takes, beside another program of the field |
//! | `wg_handshakes` | a tunnel's handshakes a second, beside boringtun |
//! | `wg_memory` | what a tunnel with 10,000 peers keeps in memory |
//! | `wg_packets` | sealing and opening a packet, beside boringtun and the bare cipher |
//! | `wg_path` | packets through a whole tunnel in memory, beside boringtun |
//! | `wg_routes` | the peer that an address belongs to, beside `ip_network_table` |
//! | `wg_timers` | what 10,000 peers cost a tunnel in time |
//!
//! `rig/` measures the tunnel beside other userspace WireGuard implementations: a program of its own, in Python,
//! since it is made of namespaces and other programs. See its README.
//!
//! The figures of a whole swarm (join, revocation, from nothing to three nodes) are in the report of
//! `swarm demo`.

/// The examples of the workspace's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
