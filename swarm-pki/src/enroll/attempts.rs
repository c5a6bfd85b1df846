//! How often strangers may guess.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::{NodeId, Timestamp};

/// Wrong secrets for one node from one address within a window.
const MAX_FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// The most pairs of node and address that are remembered; the oldest makes room.
const MAX_ENTRIES: usize = 1024;

/// Counts wrong secrets by node and address: whoever floods one name from one place keeps nobody
/// else from joining.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<Key, Failures>);

/// Without a node: requests that named none.
type Key = (Option<NodeId>, Option<IpAddr>);

#[derive(Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Attempts {
    pub(super) fn is_blocked(&self, key: &Key, now: Timestamp) -> bool {
        self.0.get(key).is_some_and(|failures| {
            failures.count >= MAX_FAILURES && now.since(failures.since) < WINDOW
        })
    }

    pub(super) fn failed(&mut self, key: Key, now: Timestamp) {
        if self.0.len() >= MAX_ENTRIES && !self.0.contains_key(&key) {
            self.0
                .retain(|_, failures| now.since(failures.since) < WINDOW);
            let oldest = self.0.iter().min_by_key(|(_, failures)| failures.since);
            if self.0.len() >= MAX_ENTRIES
                && let Some(oldest) = oldest.map(|(key, _)| key.clone())
            {
                self.0.remove(&oldest);
            }
        }
        let failures = self.0.entry(key).or_insert(Failures {
            since: now,
            count: 0,
        });
        if now.since(failures.since) >= WINDOW {
            *failures = Failures {
                since: now,
                count: 0,
            };
        }
        failures.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(node: &str, last: u8) -> Key {
        (Some(node.parse().unwrap()), Some([192, 0, 2, last].into()))
    }

    #[test]
    fn ten_wrong_secrets_block_one_name_from_one_address_for_a_minute() {
        let mut attempts = Attempts::default();
        let now = Timestamp::from_unix(1_000);
        for _ in 0..10 {
            assert!(!attempts.is_blocked(&key("edge1", 1), now));
            attempts.failed(key("edge1", 1), now);
        }
        assert!(attempts.is_blocked(&key("edge1", 1), now));
        assert!(!attempts.is_blocked(&key("edge1", 2), now));
        assert!(!attempts.is_blocked(&key("edge2", 1), now));
        assert!(!attempts.is_blocked(&key("edge1", 1), now + WINDOW));
        attempts.failed(key("edge1", 1), now + WINDOW);
        assert!(!attempts.is_blocked(&key("edge1", 1), now + WINDOW));
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..3_000 {
            attempts.failed(key(&format!("n{n}"), 1), Timestamp::from_unix(n / 300));
        }
        assert_eq!(attempts.0.len(), MAX_ENTRIES);
    }
}
