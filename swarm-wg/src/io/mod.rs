//! The shell for Linux: a TUN device, UDP sockets, and the threads between them.
//!
//! ```text
//!        TUN ──▶ send thread ───▶ ┌──────┐ ───▶ UDP
//!                                 │ Core │
//!        TUN ◀── receive thread ◀─└──────┘◀──── UDP
//!                  timer thread, calls ──┘
//! ```
//! Each thread gathers a batch, makes a *turn* (locks the core, hands the batch over, swaps
//! the outputs out, unlocks) and then makes the system calls. A lone packet crosses one
//! thread.

mod clock;
mod events;
mod grace;
mod netlink;
mod pump;
mod routes;
mod shared;
mod sys;
mod threads;
mod timer;
mod tun;
mod udp;

pub use events::{Events, RecvError};

pub(crate) use shared::Shared;
pub(crate) use threads::Threads;
#[cfg(feature = "uapi")]
pub(crate) use threads::wait;

use crate::error::Error;

/// Fills a buffer with the operating system's randomness.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(buffer).map_err(|error| Error::Randomness(std::io::Error::other(error)))
}

/// Locks a mutex; a panic of another holder is no reason to stop a tunnel.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
