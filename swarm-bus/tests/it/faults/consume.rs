//! The application: it works on each message once, whatever is delivered.

use super::ledger::{Fate, Key};
use super::plan::Chance;
use super::publish::Yard;
use super::world::of;
use super::{Reading, node};
use crate::rig::token;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use swarm_bus::client::Client;
use swarm_bus::stream::{Delivered, Taken, Taking};
use swarm_bus::{Token, Topic};
use tokio::time::sleep;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) again: AtomicU64,
    pub(super) given_back: AtomicU64,
    pub(super) unacknowledged: AtomicU64,
    pub(super) readers: AtomicU64,
    /// Given to a consumer whose filter does not let it through, and held back by it.
    pub(super) foreign: AtomicU64,
}

/// What outlives its readers: the results, and what they are of.
pub(super) struct Application {
    yard: Arc<Yard>,
    publisher: u8,
    /// As it was saved last.
    taken: Mutex<Taken>,
    pub(super) tally: Arc<Tally>,
}

impl Application {
    pub(super) fn new(yard: &Arc<Yard>, publisher: u8, tally: &Arc<Tally>) -> Arc<Self> {
        Arc::new(Self {
            yard: Arc::clone(yard),
            publisher,
            taken: Mutex::new(Taken::new(1 << 17)),
            tally: Arc::clone(tally),
        })
    }

    /// Works on a message, or sees that it was worked on: one transaction.
    fn work(&self, number: u32, sequence: u64) {
        let key = Key {
            node: self.publisher,
            number,
        };
        let mut taken = self.taken.lock().unwrap();
        let mut ledger = self.yard.ledger.lock().unwrap();
        match taken.take(sequence) {
            Taking::First => ledger.take(key, sequence),
            Taking::Again => {
                self.tally.again.fetch_add(1, Relaxed);
                ledger.leave(key, sequence);
            }
            Taking::Forgotten => panic!("{key:?} at {sequence} is forgotten"),
        }
    }

    /// Reads until it is aborted.
    pub(super) async fn read<T>(self: Arc<Self>, client: Client, seed: u64)
    where
        T: Topic<Payload = Reading> + Sender,
    {
        self.tally.readers.fetch_add(1, Relaxed);
        let saved = serde_json::to_string(&*self.taken.lock().unwrap()).unwrap();
        *self.taken.lock().unwrap() = serde_json::from_str(&saved).unwrap();
        let mut chance = Chance::new(seed);
        let (stream, _) = of(self.publisher);
        let durable = token(&format!("app{}", self.publisher));
        loop {
            // Servers that start have no consumers for a while; what never comes is missed at the end.
            if let Ok(consumer) = client.consumer::<T>(&stream, &durable).await {
                let mut consumer = consumer.batch(256);
                while let Ok(delivered) = consumer.next().await {
                    self.handle(&delivered, &mut chance).await;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn handle<T>(&self, delivered: &Delivered<T>, chance: &mut Chance)
    where
        T: Topic<Payload = Reading> + Sender,
    {
        self.tally.delivered.fetch_add(1, Relaxed);
        let again = u64::from(delivered.deliveries > 1);
        self.tally.redelivered.fetch_add(again, Relaxed);
        let content = delivered.content.as_ref().unwrap();
        let sender = content.topic.sender();
        assert_eq!(*sender, node(self.publisher), "not of this consumer");
        if chance.per_mille(10) {
            self.tally.given_back.fetch_add(1, Relaxed);
            let _ = delivered.nak(Duration::from_millis(50));
            return;
        }
        if chance.per_mille(2) {
            self.tally.unacknowledged.fetch_add(1, Relaxed);
            return;
        }
        self.work(content.payload.number, delivered.sequence);
        if chance.per_mille(2) {
            self.tally.unacknowledged.fetch_add(1, Relaxed);
        } else if chance.per_mille(3) {
            let _ = delivered.ack_confirmed(Duration::from_secs(1)).await;
        } else {
            let _ = delivered.ack();
        }
    }
}

/// Who published it, as its subject says.
pub(super) trait Sender {
    fn sender(&self) -> &Token;
}

impl Sender for super::Sample {
    fn sender(&self) -> &Token {
        &self.node
    }
}

impl Sender for super::Spooled {
    fn sender(&self) -> &Token {
        &self.node
    }
}

/// Words for what a publisher was told.
pub(super) fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "kept",
        Fate::Refused => "refused",
        Fate::Unknown => "unknown",
    }
}
