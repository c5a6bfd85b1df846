//! Waiting until packets in flight have left.
//!
//! Batches are sent outside the core's lock. After a peer is removed from the core, a thread
//! may still hold packets of it; whoever removes the peer waits here until every turn that
//! was under way is over, as a writer waits for readers in read-copy-update.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;

/// All threads that make turns.
#[derive(Default)]
pub(super) struct Grace {
    turns: Mutex<Vec<Arc<AtomicU64>>>,
}

/// One thread's count of turns: odd while it is in one.
pub(super) struct Turns(Arc<AtomicU64>);

/// A turn under way; over when dropped.
pub(super) struct Turn(Arc<AtomicU64>);

impl Grace {
    pub(super) fn register(&self) -> Turns {
        let turns = Arc::new(AtomicU64::new(0));
        lock(&self.turns).push(Arc::clone(&turns));
        Turns(turns)
    }

    /// Waits until every turn that is under way at this moment is over.
    pub(super) fn wait(&self) {
        let all = lock(&self.turns).clone();
        for turns in all {
            let seen = turns.load(Ordering::SeqCst);
            if seen % 2 == 0 {
                continue;
            }
            while turns.load(Ordering::SeqCst) == seen {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    }
}

impl Turns {
    /// Begins a turn, to be called before anything is looked up; not within another.
    pub(super) fn begin(&self) -> Turn {
        self.0.fetch_add(1, Ordering::SeqCst);
        Turn(Arc::clone(&self.0))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn waiting_ends_when_the_turn_under_way_ends_and_not_before() {
        let grace = Arc::new(Grace::default());
        let turns = grace.register();
        let _idle = grace.register();
        grace.wait();
        let turn = turns.begin();
        let over = Arc::new(AtomicBool::new(false));
        let waiter = std::thread::spawn({
            let (grace, over) = (Arc::clone(&grace), Arc::clone(&over));
            move || {
                grace.wait();
                over.load(Ordering::SeqCst)
            }
        });
        std::thread::sleep(Duration::from_millis(30));
        over.store(true, Ordering::SeqCst);
        drop(turn);
        // A new turn does not hold up a waiter from before it.
        let _next = turns.begin();
        assert!(waiter.join().unwrap());
    }
}
