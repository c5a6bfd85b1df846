//! Every figure of the workspace, measured beside its rivals: the table of contents.
//!
//! | bench | what |
//! |---|---|
//! | `pki` | issuing beside rcgen, verifying beside rustls-webpki, rosters and long revocation lists |
//! | `pki_memory` | what a trust with 10,000 nodes keeps in memory |
//! | `pki_store` | certificates a second through the authority's directory, and opening one that has many |
//! | `pki_tls` | a mutual TLS handshake through the mesh's configurations, beside bare rustls |
//! | `startup` | how long `swarm --version` takes, beside another program of the field |
//!
//! The figures of a whole swarm (join, revocation, from nothing to three nodes) are in the report of
//! `swarm demo`.

/// The examples of the workspace's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
