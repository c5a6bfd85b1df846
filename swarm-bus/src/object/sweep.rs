//! Removes what interrupted uploads have left.

use super::info::Described;
use super::name::{chunks, descriptions};
use super::{ObjectError, ObjectStore, UploadId};
use crate::Subject;
use crate::stream::Cursor;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// How many objects and uploads are held at a time.
const MAX: usize = super::store::MAX_OBJECTS;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Swept {
    /// How many uploads that no object is made of.
    pub uploads: u64,
    /// How many chunks of them.
    pub chunks: u64,
}

impl ObjectStore {
    /// Removes the chunks of uploads that no object is made of and that had no new chunk for
    /// `quiet`: an upload that is still at work, or is to be resumed, is younger than that.
    ///
    /// # Errors
    /// [`ObjectError`]. A description that cannot be read ends it before anything is removed that it
    /// may stand for.
    pub async fn sweep(&self, quiet: Duration, now: SystemTime) -> Result<Swept, ObjectError> {
        Sweep::begin(self).await?.remove(quiet, now).await
    }
}

/// What may be removed, and what may not.
struct Sweep<'a> {
    store: &'a ObjectStore,
    /// With the number of chunks of each.
    uploads: Vec<(UploadId, u64)>,
    /// Those that objects are made of.
    used: HashSet<UploadId>,
    /// Stands behind the descriptions that were read.
    descriptions: Cursor,
}

impl<'a> Sweep<'a> {
    async fn begin(store: &'a ObjectStore) -> Result<Self, ObjectError> {
        let filter = descriptions(&store.bucket);
        let mut sweep = Self {
            store,
            uploads: Vec::new(),
            used: HashSet::new(),
            descriptions: Cursor::new(store.reader.clone(), filter, 0),
        };
        // Uploads first: one that becomes an object meanwhile is then found among the objects.
        sweep.list().await?;
        sweep.look().await?;
        Ok(sweep)
    }

    async fn remove(mut self, quiet: Duration, now: SystemTime) -> Result<Swept, ObjectError> {
        let mut swept = Swept::default();
        for (id, count) in std::mem::take(&mut self.uploads) {
            if self.used.contains(&id) {
                continue;
            }
            let subject = id.subject(&self.store.bucket);
            let last = self.store.reader.last_of_leader(&subject).await?;
            let old = last
                .is_some_and(|last| now.duration_since(last.time).is_ok_and(|age| age >= quiet));
            if !old {
                continue;
            }
            // The others took their time, in which somebody may have gone on with this one.
            self.look().await?;
            if !self.used.contains(&id) {
                self.store.purge(&subject).await?;
                swept.uploads += 1;
                swept.chunks += count;
            }
        }
        Ok(swept)
    }

    /// Lists the uploads.
    async fn list(&mut self) -> Result<(), ObjectError> {
        let filter = chunks(&self.store.bucket);
        let mut offset = 0;
        loop {
            let page = self.store.reader.subjects(&filter, offset).await?;
            offset += page.subjects.len();
            let done = page.subjects.is_empty() || offset >= page.total;
            for (subject, count) in page.subjects {
                // What no client calls an upload is not ours to remove.
                if let Some(id) = parse_subject(&subject) {
                    self.uploads.push((id, count));
                }
            }
            if self.uploads.len() > MAX {
                return Err(ObjectError::TooMany { max: MAX });
            }
            if done {
                return Ok(());
            }
        }
    }

    /// Reads the descriptions that came since it looked last.
    async fn look(&mut self) -> Result<(), ObjectError> {
        while let Some(stored) = self.descriptions.next().await? {
            match self.store.describe(&stored) {
                Ok(Described::Object(info)) => drop(self.used.insert(info.upload)),
                Ok(Described::Deleted | Described::Link(_)) => {}
                Err(source) => {
                    return Err(ObjectError::Unclear {
                        subject: stored.subject,
                        source,
                    });
                }
            }
            if self.used.len() > MAX {
                return Err(ObjectError::TooMany { max: MAX });
            }
        }
        Ok(())
    }
}

fn parse_subject(subject: &str) -> Option<UploadId> {
    let subject = Subject::parse(subject).ok()?;
    let last = subject.tokens().nth(3)?.parse().ok()?;
    subject.tokens().nth(4).is_none().then_some(last)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::Token;
    use crate::client::{Client, wall_clock};
    use crate::object::{ObjectName, ObjectStoreConfig};
    use crate::permissions::{ObjectRight, Policy, Role};
    use crate::testing::Server;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn an_upload_that_becomes_an_object_during_the_sweep_stays() {
        let (node, bucket) = (Token::from_static("n1"), Token::from_static("b"));
        let policy = Policy::new().with_stream_keeper(Role::Hub).with_objects(
            Role::Hub,
            ObjectRight::Write,
            bucket.clone(),
        );
        let permissions = policy.permissions(&node, &[Role::Hub]);
        let server = Server::new();
        let client = Client::start(server.options(node, permissions));
        client.connected(Duration::from_secs(5)).await.unwrap();
        let config = ObjectStoreConfig::new(bucket.clone()).unwrap();
        client.ensure_object_store(&config).await.unwrap();
        let store = client.object_store(&bucket).await.unwrap();
        let name = ObjectName::parse("o").unwrap();

        // Interrupted when as much as may be on its way is.
        let data = vec![1; 1_250_000];
        let (mut pipe, source) = tokio::io::duplex(2 << 20);
        pipe.write_all(&data).await.unwrap();
        let (told, mut progress) = tokio::sync::watch::channel(0);
        let mut upload = store
            .upload(&name)
            .chunk_size(100_000)
            .on_progress(move |sent| {
                told.send_replace(sent.chunks);
            });
        let id = upload.id().clone();
        tokio::select! {
            sent = upload.send(source) => panic!("{sent:?}"),
            one = progress.wait_for(|chunks| *chunks > 0) => drop(one.unwrap()),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no chunk is stored"),
        }
        drop(upload);

        let later = wall_clock() + Duration::from_secs(3600);
        let sweep = Sweep::begin(&store).await.unwrap();
        assert_eq!(sweep.uploads.len(), 1);
        let mut again = store.resume_upload(&name, id).chunk_size(100_000);
        again.send(&data[..]).await.unwrap();
        let swept = sweep.remove(Duration::ZERO, later).await.unwrap();
        assert_eq!(swept, Swept::default());
        let mut copy = Vec::new();
        store.get(&name, &mut copy).await.unwrap();
        assert!(copy == data);
        assert_eq!(
            store.sweep(Duration::ZERO, later).await.unwrap(),
            Swept::default()
        );
    }
}
