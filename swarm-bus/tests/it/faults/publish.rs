//! Publishers, and what they are told.

use super::ledger::{Fate, Key, Ledger};
use super::plan::Chance;
use super::{Sample, Spooled, node, reading};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use swarm_bus::MessageId;
use swarm_bus::client::{Client, PublishError};
use swarm_bus::spool::{PutError, Spool};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long a publisher waits after a refusal.
const PAUSE: Duration = Duration::from_millis(20);

/// What is counted when the disk of a spool has no room.
pub(super) const FULL_DISK: &str = "disk of the spool";

/// What all take part in.
pub(super) struct Yard {
    pub(super) ledger: Mutex<Ledger>,
    /// How many parts of the messages are handed out, of how many.
    pub(super) part: watch::Sender<u64>,
    pub(super) parts: u64,
    pub(super) attempts: AtomicU64,
    /// What publishers were told that was no success.
    pub(super) errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Yard {
    pub(super) fn new(parts: u64) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::default(),
            part: watch::Sender::new(0),
            parts,
            attempts: AtomicU64::new(0),
            errors: Mutex::default(),
        })
    }

    /// How many of so many messages are handed out.
    pub(super) fn handed_out(&self, part: u64, quota: u32) -> u32 {
        (u64::from(quota) * part / self.parts) as u32
    }

    /// Waits until a message is handed out.
    async fn turn(&self, number: u32, quota: u32) {
        let mut part = self.part.subscribe();
        let turn = part.wait_for(|part| number < self.handed_out(*part, quota));
        turn.await.expect("the yard outlives its publishers");
        self.attempts.fetch_add(1, Relaxed);
    }

    fn failed(&self, how: &'static str) {
        *self.errors.lock().unwrap().entry(how).or_default() += 1;
    }

    /// How often publishers were told that.
    pub(super) fn errors(&self, how: &'static str) -> u64 {
        self.errors.lock().unwrap().get(how).copied().unwrap_or(0)
    }

    fn told(&self, key: Key, kind: u32, fate: Fate, stored: Option<u64>) {
        let mut ledger = self.ledger.lock().unwrap();
        ledger.publish(key, kind, fate, stored);
    }
}

/// Stores a message, and gives it up now and then when that fails.
async fn store(yard: &Yard, client: &Client, key: Key, kind: u32, chance: &mut Chance) {
    let node = node(key.node);
    let id = MessageId::parse(&format!("{node}-{}", key.number)).unwrap();
    let topic = Sample { node, kind };
    let payload = reading(key.number);
    let mut doubt = false;
    loop {
        let message = client.message(&topic, &payload).unwrap().id(id.clone());
        // Some are so impatient that they have to decide themselves.
        let within = Duration::from_millis([100, 2000][usize::from(chance.per_mille(700))]);
        let error = match message.within(within).store().await {
            Ok(stored) => return yard.told(key, kind, Fate::Kept, Some(stored.sequence)),
            Err(error) => error,
        };
        let (how, certain) = match &error {
            PublishError::Unconfirmed { .. } => ("unconfirmed", false),
            PublishError::Disconnected => ("disconnected", true),
            PublishError::QueueFull { .. } => ("queue full", true),
            PublishError::NoStream { .. } => ("no stream", true),
            PublishError::Refused { .. } => ("refused by the stream", true),
            _ => panic!("{key:?}: {error}"),
        };
        yard.failed(how);
        doubt |= !certain;
        if chance.per_mille(100) {
            let fate = match doubt {
                true => Fate::Unknown,
                false => Fate::Refused,
            };
            return yard.told(key, kind, fate, None);
        }
        sleep(PAUSE).await;
    }
}

/// Publishes one by one, in four tasks.
pub(super) async fn one_by_one(yard: Arc<Yard>, client: Client, number: u8, quota: u32, seed: u64) {
    let lane = |lane: u32| {
        let (yard, client) = (&yard, &client);
        let mut chance = Chance::new(seed ^ u64::from(lane));
        async move {
            for message in (lane..quota).step_by(4) {
                yard.turn(message, quota).await;
                let key = Key {
                    node: number,
                    number: message,
                };
                store(yard, client, key, lane, &mut chance).await;
            }
        }
    };
    tokio::join!(lane(0), lane(1), lane(2), lane(3));
}

/// Publishes with many on their way.
pub(super) async fn many_at_a_time(
    yard: Arc<Yard>,
    client: Client,
    number: u8,
    quota: u32,
    seed: u64,
) {
    let mut flying = FuturesUnordered::new();
    for message in 0..quota {
        let turn = yard.turn(message, quota);
        tokio::pin!(turn);
        loop {
            tokio::select! {
                Some(()) = flying.next() => {}
                () = &mut turn, if flying.len() < 64 => break,
            }
        }
        let (yard, client) = (&yard, &client);
        let mut chance = Chance::new(seed ^ (u64::from(message) << 8));
        let key = Key {
            node: number,
            number: message,
        };
        flying.push(async move { store(yard, client, key, message % 8, &mut chance).await });
    }
    while flying.next().await.is_some() {}
}

/// Reads what a spool said.
pub(super) fn fate<T>(put: &Result<T, PutError>) -> Fate {
    match put {
        Ok(_) => Fate::Kept,
        Err(PutError::Unconfirmed { .. }) => Fate::Unknown,
        Err(PutError::Io(_) | PutError::Full { .. } | PutError::Busy { .. }) => Fate::Refused,
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn spooled(number: u8, message: u32) -> Spooled {
    Spooled {
        node: node(number),
        kind: message % 8,
    }
}

/// Puts into a spool, `batch` messages together.
pub(super) async fn put(yard: Arc<Yard>, spool: Spool, number: u8, quota: u32, batch: u32) {
    for from in (0..quota).step_by(batch as usize) {
        let mut submitted = Vec::new();
        for message in from..quota.min(from + batch) {
            yard.turn(message, quota).await;
            let topic = spooled(number, message);
            submitted.push((message, spool.submit(&topic, &reading(message))));
        }
        let mut refused = false;
        for (message, submitted) in submitted {
            let put = match submitted {
                Ok(submitted) => submitted.confirmed().await,
                Err(error) => Err(error),
            };
            if let Err(error) = &put {
                yard.failed(match error {
                    PutError::Io(_) => FULL_DISK,
                    _ => "spool busy or full",
                });
            }
            let fate = fate(&put);
            refused |= fate == Fate::Refused;
            let key = Key {
                node: number,
                number: message,
            };
            yard.told(key, message % 8, fate, None);
        }
        if refused {
            sleep(PAUSE).await;
        }
    }
}
