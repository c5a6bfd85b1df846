//! Reads an object, chunk by chunk.

use super::{Digest, ObjectError, ObjectInfo, ObjectName, ObjectStore, UploadId};
use crate::stream::{Cursor, Stored};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// How many bytes of what is there already are read at a time.
const PART: usize = 64 << 10;
/// How long to wait before something is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// A place in an object up to which it was downloaded: what has to be kept to go on there in another
/// process, beside the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    upload: UploadId,
    bytes: u64,
    chunks: u64,
    sequence: u64,
}

impl Checkpoint {
    /// Returns how many bytes there must be to go on. What was written behind them is to be cut off.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// How far a download has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// How many bytes were handed to the sink, those from before an interruption included.
    pub bytes: u64,
    /// How many the object has.
    pub total: u64,
    /// Where to go on.
    pub checkpoint: Checkpoint,
}

type OnProgress<'a> = Box<dyn FnMut(&Received) + Send + 'a>;

/// A download; made by [`ObjectStore::download`].
///
/// # Defaults
/// Given up when nothing moved for 30 s.
#[must_use = "it is received by `receive`"]
pub struct Download<'a> {
    store: &'a ObjectStore,
    name: ObjectName,
    patience: Duration,
    progress: Option<OnProgress<'a>>,
    place: Option<Place>,
}

/// Where a download has come to.
struct Place {
    /// Where links have led.
    store: ObjectStore,
    info: ObjectInfo,
    checkpoint: Checkpoint,
    hash: Context,
}

impl<'a> Download<'a> {
    pub(super) fn new(store: &'a ObjectStore, name: ObjectName) -> Self {
        Self {
            store,
            name,
            patience: Duration::from_secs(30),
            progress: None,
            place: None,
        }
    }

    /// Sets for how long nothing may move.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Has `progress` called whenever a chunk more was handed to the sink.
    pub fn on_progress(mut self, progress: impl FnMut(&Received) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Returns where it has come to; `None` before the beginning.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.place.as_ref().map(|place| &place.checkpoint)
    }

    /// Goes on at a checkpoint of before: reads the bytes that were downloaded then from `part`,
    /// since the digest at the end is of all.
    ///
    /// # Errors
    /// [`ObjectError::Replaced`] when the object is another one by now,
    /// [`ObjectError::PartChanged`] when `part` is too short. A part with other bytes is found out
    /// at the end.
    pub async fn resume(
        &mut self,
        checkpoint: Checkpoint,
        part: impl AsyncRead + Unpin,
    ) -> Result<(), ObjectError> {
        let mut place = begin(self.store, &self.name).await?;
        if place.info.upload != checkpoint.upload {
            return Err(self.replaced());
        }
        let mut part = part.take(checkpoint.bytes);
        let mut buffer = vec![0; PART];
        let mut found = 0;
        loop {
            let length = part.read(&mut buffer).await.map_err(ObjectError::Source)?;
            if length == 0 {
                break;
            }
            place.hash.update(&buffer[..length]);
            found += length as u64;
        }
        if found != checkpoint.bytes {
            return Err(ObjectError::PartChanged {
                found,
                expected: checkpoint.bytes,
            });
        }
        place.checkpoint = checkpoint;
        self.place = Some(place);
        Ok(())
    }

    /// Writes the object, or the rest of it, to `sink`. Called again after an error, other than of
    /// the sink, it goes on where it stopped.
    ///
    /// # Errors
    /// [`ObjectError`]. What was written is the object only when there is none.
    pub async fn receive(
        &mut self,
        mut sink: impl AsyncWrite + Unpin,
    ) -> Result<ObjectInfo, ObjectError> {
        if self.place.is_none() {
            self.place = Some(begin(self.store, &self.name).await?);
        }
        let result = self.copy(&mut sink).await;
        if !matches!(result, Err(ObjectError::Interrupted { .. })) {
            self.place = None;
        }
        result
    }

    async fn copy(
        &mut self,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Result<ObjectInfo, ObjectError> {
        let Some(place) = &mut self.place else {
            unreachable!("made by the caller");
        };
        let store = place.store.clone();
        let subject = place.info.upload.subject(&store.bucket);
        let position = place.checkpoint.sequence;
        let mut cursor = Cursor::new(store.reader.clone(), subject.into(), position);
        let mut moved = Instant::now();
        while place.checkpoint.bytes < place.info.size {
            match cursor.next().await.map_err(ObjectError::from) {
                Ok(Some(stored)) => {
                    place.take(&stored)?;
                    sink.write_all(&stored.payload)
                        .await
                        .map_err(ObjectError::Sink)?;
                    moved = Instant::now();
                    if let Some(progress) = &mut self.progress {
                        progress(&Received {
                            bytes: place.checkpoint.bytes,
                            total: place.info.size,
                            checkpoint: place.checkpoint.clone(),
                        });
                    }
                }
                Ok(None) => {
                    // Gone with the description, or missing for no reason.
                    let now = store.info(&place.info.name).await;
                    return Err(match now {
                        Ok(now) if now.upload == place.info.upload => place.incomplete(),
                        Ok(_) | Err(ObjectError::NotFound { .. }) => self.replaced(),
                        Err(error) => error,
                    });
                }
                Err(error) if error.is_interruption() => {
                    if moved.elapsed() >= self.patience {
                        return Err(ObjectError::Interrupted {
                            after: self.patience,
                            source: Box::new(error),
                        });
                    }
                    tokio::time::sleep(RETRY).await;
                    let client = &store.reader.client;
                    if matches!(
                        client.states().current(),
                        crate::client::State::Closed | crate::client::State::Draining
                    ) {
                        return Err(ObjectError::Closed);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        sink.flush().await.map_err(ObjectError::Sink)?;
        place.check()
    }

    fn replaced(&self) -> ObjectError {
        ObjectError::Replaced {
            name: self.name.clone(),
        }
    }
}

async fn begin(store: &ObjectStore, name: &ObjectName) -> Result<Place, ObjectError> {
    let (store, info) = store.resolve(name).await?;
    Ok(Place {
        store,
        checkpoint: Checkpoint {
            upload: info.upload.clone(),
            bytes: 0,
            chunks: 0,
            sequence: 0,
        },
        info,
        hash: Context::new(&SHA256),
    })
}

impl Place {
    /// Takes a chunk in, if it does not make the object longer than it says.
    fn take(&mut self, stored: &Stored) -> Result<(), ObjectError> {
        let length = stored.payload.len() as u64;
        let at = &mut self.checkpoint;
        if length > self.info.size - at.bytes || at.chunks == self.info.chunks {
            at.bytes = at.bytes.saturating_add(length);
            at.chunks += 1;
            return Err(self.incomplete());
        }
        at.bytes += length;
        at.chunks += 1;
        at.sequence = stored.sequence;
        self.hash.update(&stored.payload);
        Ok(())
    }

    /// Says whether what came is the object.
    fn check(&self) -> Result<ObjectInfo, ObjectError> {
        if self.checkpoint.chunks != self.info.chunks {
            return Err(self.incomplete());
        }
        let mut found = Digest([0; 32]);
        let hash = self.hash.clone().finish();
        found.0.copy_from_slice(hash.as_ref());
        match found == self.info.digest {
            true => Ok(self.info.clone()),
            false => Err(ObjectError::WrongDigest {
                found,
                expected: self.info.digest,
            }),
        }
    }

    fn incomplete(&self) -> ObjectError {
        ObjectError::Incomplete {
            bytes: self.checkpoint.bytes,
            chunks: self.checkpoint.chunks,
            expected_bytes: self.info.size,
            expected_chunks: self.info.chunks,
        }
    }
}

impl fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("name", &self.name)
            .field("checkpoint", &self.checkpoint())
            .finish_non_exhaustive()
    }
}
