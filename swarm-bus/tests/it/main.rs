//! The bus against a real server, with real certificates.
#![allow(missing_docs, reason = "tests")]

mod corpus;
mod delivery;
mod derive;
mod hostile;
mod monitor;
mod outage;
mod peer;
mod permissions;
mod reload;
mod rig;
mod stream;
