//! The present state of a bucket, held here.

use super::entry::parse_key;
use super::{Content, Entry, KvError, Update, Watch};
use crate::Topic;
use crate::client::ReceiveError;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The present state of the keys of a filter, kept current in the background. Dropping it ends that.
///
/// It holds the values in memory. What cannot be read is left out, and counted.
pub struct View<T: Topic> {
    shared: Arc<Mutex<Shared<T>>>,
    progress: watch::Receiver<Progress>,
    /// How many updates were waited for.
    seen: u64,
    task: JoinHandle<()>,
}

struct Shared<T: Topic> {
    entries: HashMap<T, Arc<Entry<T>>>,
    unreadable: u64,
    error: Option<Arc<KvError>>,
}

/// How far a view has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    updates: u64,
    current: bool,
    ended: bool,
}

impl<T> View<T>
where
    T: Topic + Hash + Eq + Clone,
    T::Payload: Sync,
{
    pub(super) fn start(mut watch: Watch<T>) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            entries: HashMap::new(),
            unreadable: 0,
            error: None,
        }));
        let (sender, progress) = watch::channel(Progress::default());
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    match watch.next().await {
                        Ok(update) => {
                            let current = lock(&shared).apply(update);
                            sender.send_modify(|progress| {
                                progress.updates += 1;
                                progress.current = current.unwrap_or(progress.current);
                            });
                        }
                        Err(error) => {
                            lock(&shared).error = Some(Arc::new(error));
                            sender.send_modify(|progress| progress.ended = true);
                            return;
                        }
                    }
                }
            }
        });
        Self {
            shared,
            progress,
            seen: 0,
            task,
        }
    }

    /// Returns the last value of a key, if it has one.
    #[must_use]
    pub fn get(&self, key: &T) -> Option<Arc<Entry<T>>> {
        lock(&self.shared).entries.get(key).cloned()
    }

    /// Returns the last value of every key that has one, in no order.
    #[must_use]
    pub fn entries(&self) -> Vec<Arc<Entry<T>>> {
        lock(&self.shared).entries.values().cloned().collect()
    }

    /// Returns how many keys have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared).entries.len()
    }

    /// Says whether no key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many revisions were left out because they could not be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        lock(&self.shared).unreadable
    }

    /// Waits until the present state is complete.
    ///
    /// # Errors
    /// The error that ended the view.
    pub async fn current(&mut self) -> Result<(), Arc<KvError>> {
        self.until_progress(|progress| progress.current).await
    }

    /// Waits for a change since this was called last; what came in between counts as one.
    ///
    /// # Errors
    /// The error that ended the view.
    pub async fn changed(&mut self) -> Result<(), Arc<KvError>> {
        let before = self.seen;
        let mut seen = before;
        self.until_progress(|progress| {
            seen = progress.updates;
            seen != before
        })
        .await?;
        self.seen = seen;
        Ok(())
    }

    /// Waits until `wanted` accepts what the view holds; it is asked again at each change.
    ///
    /// # Errors
    /// The error that ended the view.
    pub async fn until(
        &mut self,
        mut wanted: impl FnMut(&HashMap<T, Arc<Entry<T>>>) -> bool,
    ) -> Result<(), Arc<KvError>> {
        let shared = Arc::clone(&self.shared);
        self.until_progress(|_| wanted(&lock(&shared).entries))
            .await
    }

    async fn until_progress(
        &mut self,
        mut wanted: impl FnMut(&Progress) -> bool,
    ) -> Result<(), Arc<KvError>> {
        let mut reached = false;
        let settled = self.progress.wait_for(|progress| {
            reached = wanted(progress);
            reached || progress.ended
        });
        let lost = settled.await.is_err();
        match &lock(&self.shared).error {
            _ if reached => Ok(()),
            Some(error) => Err(Arc::clone(error)),
            None if lost => Err(Arc::new(KvError::Closed)),
            None => unreachable!("a view ends with an error"),
        }
    }
}

impl<T: Topic + Hash + Eq + Clone> Shared<T> {
    /// Takes an update in; says whether the present state is complete, where it tells.
    fn apply(&mut self, update: Update<T>) -> Option<bool> {
        match update {
            Update::Entry(entry) => match entry.content {
                Content::Value(_) => {
                    drop(self.entries.insert(entry.key.clone(), Arc::new(entry)));
                }
                Content::Deleted | Content::Purged => drop(self.entries.remove(&entry.key)),
            },
            Update::Unreadable { error, .. } => {
                self.unreadable += 1;
                // What it was before it is not any more.
                if let Some(key) = unreadable_key(error) {
                    self.entries.remove(&key);
                }
            }
            Update::Vanished { key, .. } => drop(self.entries.remove(&key)),
            Update::Restarted => {
                self.entries.clear();
                return Some(false);
            }
            Update::Current => return Some(true),
            Update::Missed { .. } => {}
        }
        None
    }
}

/// Finds the key of what cannot be read, if that is one.
fn unreadable_key<T: Topic>(error: ReceiveError) -> Option<T> {
    match error {
        ReceiveError::Undecodable { subject, .. } | ReceiveError::Schema { subject, .. } => {
            parse_key(subject).ok()
        }
        _ => None,
    }
}

fn lock<T: Topic>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Topic> Drop for View<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Topic> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("progress", &*self.progress.borrow())
            .finish_non_exhaustive()
    }
}
