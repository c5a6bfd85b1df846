//! Counts file operations, and lets a test interrupt the n-th.
//!
//! Outside the feature `testing` it is nothing: every call is empty and inlined.

/// What befalls a file operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, unreachable_pub, reason = "tests alone interrupt")
)]
pub enum Interruption {
    /// The process dies, a write half done.
    Abort,
    /// The system refuses it, a write half done.
    Fail,
}

#[cfg(feature = "testing")]
mod counter {
    use std::cell::Cell;

    use super::Interruption;

    thread_local! {
        static DONE: Cell<u64> = const { Cell::new(0) };
        static AT: Cell<Option<(u64, Interruption)>> = const { Cell::new(None) };
    }

    /// Interrupts the `nth` file operation from now that a store does on this thread, counted
    /// from 1.
    pub fn interrupt_file_operation(nth: u64, how: Interruption) {
        AT.set(Some((DONE.get() + nth, how)));
    }

    /// Returns how many file operations stores did on this thread.
    pub fn file_operations() -> u64 {
        DONE.get()
    }

    pub(in crate::store) fn hit() -> Option<Interruption> {
        DONE.set(DONE.get() + 1);
        let (at, how) = AT.get()?;
        (DONE.get() == at).then_some(how)
    }
}

#[cfg(feature = "testing")]
pub(super) use counter::hit;
#[cfg(feature = "testing")]
pub use counter::{file_operations, interrupt_file_operation};

#[cfg(not(feature = "testing"))]
#[inline]
pub(super) fn hit() -> Option<Interruption> {
    None
}
