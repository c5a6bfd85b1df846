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
    /// [`ObjectError`]. A description that cannot be read ends it before anything is removed: what
    /// it stands for is not known.
    pub async fn sweep(&self, quiet: Duration, now: SystemTime) -> Result<Swept, ObjectError> {
        // Uploads first: one that becomes an object meanwhile is then found among the objects.
        let uploads = self.uploads().await?;
        let used = self.used().await?;
        let mut swept = Swept::default();
        for (id, count) in uploads {
            if used.contains(&id) {
                continue;
            }
            let subject = id.subject(&self.bucket);
            let last = self.reader.last_of_leader(&subject).await?;
            let old = last
                .is_some_and(|last| now.duration_since(last.time).is_ok_and(|age| age >= quiet));
            if old {
                self.purge(&subject).await?;
                swept.uploads += 1;
                swept.chunks += count;
            }
        }
        Ok(swept)
    }

    /// Lists the uploads, with the number of chunks of each.
    async fn uploads(&self) -> Result<Vec<(UploadId, u64)>, ObjectError> {
        let filter = chunks(&self.bucket);
        let mut uploads = Vec::new();
        let mut offset = 0;
        loop {
            let page = self.reader.subjects(&filter, offset).await?;
            offset += page.subjects.len();
            let done = page.subjects.is_empty() || offset >= page.total;
            for (subject, count) in page.subjects {
                // What no client calls an upload is not ours to remove.
                if let Some(id) = parse_subject(&subject) {
                    uploads.push((id, count));
                }
            }
            if uploads.len() > MAX {
                return Err(ObjectError::TooMany { max: MAX });
            }
            if done {
                return Ok(uploads);
            }
        }
    }

    /// Lists the uploads that objects are made of.
    async fn used(&self) -> Result<HashSet<UploadId>, ObjectError> {
        let mut cursor = Cursor::new(self.reader.clone(), descriptions(&self.bucket), 0);
        let mut used = HashSet::new();
        while let Some(stored) = cursor.next().await? {
            match self.describe(&stored) {
                Ok(Described::Object(info)) => drop(used.insert(info.upload)),
                Ok(Described::Deleted | Described::Link(_)) => {}
                Err(source) => {
                    return Err(ObjectError::Unclear {
                        subject: stored.subject,
                        source,
                    });
                }
            }
            if used.len() > MAX {
                return Err(ObjectError::TooMany { max: MAX });
            }
        }
        Ok(used)
    }
}

fn parse_subject(subject: &str) -> Option<UploadId> {
    let subject = Subject::parse(subject).ok()?;
    let last = subject.tokens().nth(3)?.parse().ok()?;
    subject.tokens().nth(4).is_none().then_some(last)
}
