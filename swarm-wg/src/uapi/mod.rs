//! The cross-platform configuration protocol, which `wg` speaks: text lines over a unix socket
//! at `/var/run/wireguard/<interface>.sock`
//! (<https://www.wireguard.com/xplatform/#configuration-protocol>).

mod apply;
mod parse;
mod render;
mod server;

pub(crate) use server::Server;

#[cfg(any(test, feature = "testing"))]
pub(crate) use parse::{Framing, frame, parse};
