//! The shell for Linux: a TUN device, UDP sockets, and the threads between them.
//!
//! ```text
//!   TUN ──▶ fair ──▶ cut ──▶ seal ───▶ UDP      a worker: one thread for both ways,
//!   TUN ◀── join ◀── open ◀─────────── UDP      and a second for the way out while much waits
//!                      │ rarely
//!                      ▼
//!                    Core ◀── timer thread, calls
//! ```
//! A worker takes a batch, makes a *turn* of it (looks packets up, seals or opens them) and
//! then the system calls. A lone packet crosses one thread. Only what is out of the ordinary
//! goes to the core, under its lock; no lock is held during a system call.

mod clock;
mod events;
mod fair;
mod flag;
mod grace;
mod netlink;
mod outbound;
mod pump;
mod routes;
mod shared;
mod sys;
mod threads;
mod timer;
mod tun;
mod udp;
mod watch;
mod worker;

pub use events::{Events, RecvError};
pub use watch::Watch;

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
