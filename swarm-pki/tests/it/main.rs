//! Everything that needs more than one module: one binary, one module for each area.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "testing")]
mod corpus;
#[cfg(feature = "enroll")]
mod enroll;
#[cfg(feature = "enroll")]
mod enroll_again;
#[cfg(all(feature = "enroll", feature = "front"))]
mod examples;
#[cfg(feature = "tls")]
mod fixture;
#[cfg(all(feature = "front", feature = "http"))]
mod front;
#[cfg(all(feature = "front", feature = "http"))]
mod front_services;
#[cfg(all(feature = "enroll", feature = "testing"))]
mod offline;
#[cfg(feature = "testing")]
mod openssl;
#[cfg(all(feature = "testing", feature = "tls", feature = "store"))]
mod pkilint;
#[cfg(feature = "store")]
mod processes;
#[cfg(feature = "testing")]
mod roots;
#[cfg(feature = "testing")]
mod service;
#[cfg(all(feature = "enroll", feature = "front", feature = "testing"))]
mod shell_corpus;
#[cfg(feature = "tls")]
mod stacks;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "store")]
mod store_authorities;
#[cfg(feature = "store")]
mod store_backup;
#[cfg(all(feature = "store", feature = "testing"))]
mod store_corpus;
#[cfg(all(feature = "store", feature = "testing"))]
mod store_crash;
#[cfg(feature = "store")]
mod store_fixture;
#[cfg(feature = "store")]
mod store_services;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_reload;
#[cfg(feature = "tls")]
mod tls_services;
#[cfg(feature = "testing")]
mod traps;
#[cfg(feature = "testing")]
mod trust;
#[cfg(feature = "testing")]
mod verify;
