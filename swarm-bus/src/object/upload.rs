//! Stores an object, chunk by chunk.

use super::mark::{MARK, Mark};
use super::{Digest, ObjectError, ObjectInfo, ObjectName, ObjectStore, UploadId};
use crate::client::{InOrder, PublishError, Storing, Unsent, wall_clock};
use crate::{Headers, MessageId, Subject};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// How many bytes a chunk has, but for the last; what other clients take too.
const CHUNK: usize = 128 << 10;
/// The most bytes that any server takes in one message.
const MAX_CHUNK: usize = 64 << 20;
/// How many bytes may be on their way at a time; one chunk in any case.
const WINDOW: usize = 1 << 20;
/// How long to wait before something is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// How many bytes the stream has, those from before an interruption included.
    pub bytes: u64,
    /// In how many chunks.
    pub chunks: u64,
}

/// An upload; made by [`ObjectStore::upload`].
///
/// # Defaults
/// Chunks of 128 KiB, given up when nothing moved for 30 s.
#[must_use = "it is sent by `send`"]
pub struct Upload<'a> {
    store: &'a ObjectStore,
    name: ObjectName,
    id: UploadId,
    resumes: bool,
    described: bool,
    description: String,
    chunk_size: usize,
    patience: Duration,
    progress: Option<Box<dyn FnMut(Sent) + Send + 'a>>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        store: &'a ObjectStore,
        name: ObjectName,
        id: UploadId,
        resumes: bool,
    ) -> Self {
        Self {
            store,
            name,
            id,
            resumes,
            described: false,
            description: String::new(),
            chunk_size: CHUNK,
            patience: Duration::from_secs(30),
            progress: None,
        }
    }

    /// Returns the id by which it can be resumed, as long as its chunks are there.
    #[must_use]
    pub fn id(&self) -> &UploadId {
        &self.id
    }

    /// Notes something about the object; a text is cut off after 1,024 characters.
    pub fn description(mut self, text: &str) -> Self {
        self.description = text.chars().take(1024).collect();
        self
    }

    /// Sets how many bytes a chunk has, 64 MiB at most; with its headers it must not be larger than
    /// the server takes.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes.clamp(1, MAX_CHUNK);
        self
    }

    /// Sets for how long nothing may move.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Has `progress` called whenever the stream has a chunk more.
    pub fn on_progress(mut self, progress: impl FnMut(Sent) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Sends what `source` gives until its end, and puts the object in place of what the name
    /// stands for. That happens in one step, at the end.
    ///
    /// After an error the chunks stay, for [`resume_upload`](ObjectStore::resume_upload) or
    /// [`abandon`](ObjectStore::abandon); called again, it resumes.
    ///
    /// # Errors
    /// [`ObjectError`]. After [`LeftOver`](ObjectError::LeftOver) the object is stored.
    pub async fn send(
        &mut self,
        mut source: impl AsyncRead + Unpin,
    ) -> Result<ObjectInfo, ObjectError> {
        let resumes = std::mem::replace(&mut self.resumes, true);
        let mut sending = Sending::new(self);
        if resumes {
            sending.skip(&mut source).await?;
        }
        let all = match sending.run(&mut source).await {
            Ok(all) => all,
            Err(error) => {
                sending.settle().await;
                return Err(error);
            }
        };
        sending.moved = Instant::now();
        let mut former = Vec::new();
        loop {
            match sending.finish(all, &mut former).await {
                Err(error) if error.is_interruption() => sending.wait(error).await?,
                result => return result,
            }
        }
    }

    /// Says whether the description may have been stored, so that the chunks are not to be touched.
    pub(super) fn may_be_described(&self) -> bool {
        self.described
    }
}

/// A chunk that the stream has not confirmed.
struct Pending {
    mark: Mark,
    payload: Bytes,
    storing: Option<Storing>,
}

/// An upload at work.
///
/// Chunks go out on one connection until that is over; the next is taken only when no answer is
/// awaited any more. So what the stream has is always a beginning of the whole, and by the mark of
/// its last chunk it is known which. A chunk is sent again under the same id, so that one which was
/// still under way is not stored twice.
struct Sending<'u, 'a> {
    upload: &'u mut Upload<'a>,
    subject: Subject,
    hash: Context,
    read: Sent,
    ended: bool,
    pending: VecDeque<Pending>,
    link: Option<InOrder>,
    moved: Instant,
}

impl<'u, 'a> Sending<'u, 'a> {
    fn new(upload: &'u mut Upload<'a>) -> Self {
        Self {
            subject: upload.id.subject(&upload.store.bucket),
            upload,
            hash: Context::new(&SHA256),
            read: Sent {
                bytes: 0,
                chunks: 0,
            },
            ended: false,
            pending: VecDeque::new(),
            link: None,
            moved: Instant::now(),
        }
    }

    /// Reads over what the stream has already, and holds it against that.
    async fn skip(&mut self, source: &mut (impl AsyncRead + Unpin)) -> Result<(), ObjectError> {
        let Some(mark) = self.last_mark().await? else {
            return Ok(());
        };
        let mut part = source.take(mark.bytes);
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = part.read(&mut buffer).await.map_err(ObjectError::Source)?;
            if length == 0 {
                break;
            }
            self.hash.update(&buffer[..length]);
            self.read.bytes += length as u64;
        }
        self.read.chunks = mark.chunks;
        if self.mark() != mark {
            return Err(ObjectError::SourceChanged);
        }
        self.tell(&mark);
        Ok(())
    }

    async fn run(&mut self, source: &mut (impl AsyncRead + Unpin)) -> Result<Mark, ObjectError> {
        self.moved = Instant::now();
        loop {
            self.send_pending().await?;
            let window = WINDOW.max(self.upload.chunk_size);
            if !self.ended && (self.pending.len() + 1) * self.upload.chunk_size <= window {
                self.read_chunk(source).await?;
                continue;
            }
            let within = self.upload.store.reader.client.core.options.timeout;
            let Some(first) = self.pending.front_mut() else {
                return Ok(self.mark());
            };
            // The first one is sent before this comes to it.
            let Some(storing) = &mut first.storing else {
                continue;
            };
            let stored = storing.stored(within).await.map_err(ObjectError::from);
            // It is answered once.
            first.storing = None;
            match stored {
                Ok(_) => self.confirm_first(),
                Err(error) if error.is_interruption() => self.recover(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what is not on its way yet; the first chunk in any case.
    async fn send_pending(&mut self) -> Result<(), ObjectError> {
        let sent = |pending: &Pending| pending.storing.is_some();
        while let Some(at) = self.pending.iter().position(|pending| !sent(pending)) {
            let Some(link) = &self.link else {
                if at > 0 {
                    return Ok(());
                }
                self.connect().await?;
                continue;
            };
            let Pending { mark, payload, .. } = &self.pending[at];
            let mut headers = Headers::new();
            headers.set(MARK, &mark.to_string())?;
            let id = MessageId::parse(&format!("{}-{}", self.upload.id, mark.chunks))?;
            match link.store(&self.subject, &headers, payload, &id) {
                Ok(storing) => self.pending[at].storing = Some(storing),
                Err(Unsent::Over) => {
                    self.link = None;
                    if at == 0 {
                        self.wait(PublishError::Disconnected.into()).await?;
                    }
                }
                Err(Unsent::Full(_)) if at > 0 => return Ok(()),
                Err(Unsent::Full(error)) => self.wait(error.into()).await?,
                Err(Unsent::Error(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn read_chunk(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), ObjectError> {
        let size = self.upload.chunk_size;
        let mut chunk = BytesMut::with_capacity(size);
        let mut part = source.take(size as u64);
        while chunk.len() < size {
            let length = part.read_buf(&mut chunk).await;
            if length.map_err(ObjectError::Source)? == 0 {
                self.ended = true;
                break;
            }
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.hash.update(&chunk);
        self.read.bytes += chunk.len() as u64;
        self.read.chunks += 1;
        // The source may have taken its time.
        self.moved = Instant::now();
        self.pending.push_back(Pending {
            mark: self.mark(),
            payload: chunk.freeze(),
            storing: None,
        });
        Ok(())
    }

    /// Finds out what the stream has, after an answer was lost, and has the rest sent again.
    async fn recover(&mut self, error: ObjectError) -> Result<(), ObjectError> {
        self.link = None;
        for pending in &mut self.pending {
            pending.storing = None;
        }
        self.wait(error).await?;
        let has = loop {
            match self.last_mark().await {
                Ok(mark) => break mark,
                Err(error) if error.is_interruption() => self.wait(error).await?,
                Err(error) => return Err(error),
            }
        };
        while let (Some(has), Some(first)) = (has, self.pending.front()) {
            if first.mark.chunks > has.chunks {
                break;
            }
            if first.mark.chunks == has.chunks && first.mark != has {
                return Err(self.not_resumable());
            }
            self.confirm_first();
        }
        Ok(())
    }

    /// Waits until nothing is under way any more, so that what is purged next stays away.
    async fn settle(&mut self) {
        let within = self.upload.store.reader.client.core.options.timeout;
        let deadline = Instant::now() + within;
        for pending in self.pending.drain(..) {
            if let Some(mut storing) = pending.storing {
                let left = deadline.saturating_duration_since(Instant::now());
                // Whatever became of it: the stream is asked when it is resumed.
                let _ = storing.stored(left).await;
            }
        }
    }

    /// Puts the object in place, when the stream has all of it.
    async fn finish(
        &mut self,
        all: Mark,
        former: &mut Vec<UploadId>,
    ) -> Result<ObjectInfo, ObjectError> {
        let store = self.upload.store;
        if store.reader.count(&self.subject).await? != all.chunks {
            return Err(self.not_resumable());
        }
        let info = ObjectInfo {
            name: self.upload.name.clone(),
            description: self.upload.description.clone(),
            upload: self.upload.id.clone(),
            size: all.bytes,
            chunks: all.chunks,
            digest: all.digest,
            modified: wall_clock(),
        };
        self.upload.described = true;
        let result = store
            .describe_as(info, self.upload.chunk_size, former)
            .await;
        if let Err(ObjectError::Publish(
            PublishError::Denied { .. } | PublishError::Refused { .. },
        )) = result
        {
            self.upload.described = false;
        }
        result
    }

    fn confirm_first(&mut self) {
        if let Some(first) = self.pending.pop_front() {
            self.moved = Instant::now();
            self.tell(&first.mark);
        }
    }

    async fn connect(&mut self) -> Result<(), ObjectError> {
        let client = &self.upload.store.reader.client;
        match client.in_order(client.core.options.timeout).await {
            Ok(link) => {
                self.link = Some(link);
                Ok(())
            }
            Err(error) => match error.into() {
                ObjectError::Closed => Err(ObjectError::Closed),
                error => self.wait(error).await,
            },
        }
    }

    /// Waits a moment, unless nothing has moved for too long.
    async fn wait(&mut self, error: ObjectError) -> Result<(), ObjectError> {
        let after = self.upload.patience;
        if self.moved.elapsed() >= after {
            return Err(ObjectError::Interrupted {
                after,
                source: Box::new(error),
            });
        }
        tokio::time::sleep(RETRY).await;
        Ok(())
    }

    /// Reads the mark of the last chunk that the stream has.
    async fn last_mark(&mut self) -> Result<Option<Mark>, ObjectError> {
        let reader = &self.upload.store.reader;
        let Some(stored) = reader.last_of_leader(&self.subject).await? else {
            return Ok(None);
        };
        let mark = stored.headers.get(MARK).and_then(|text| text.parse().ok());
        mark.map(Some).ok_or_else(|| self.not_resumable())
    }

    fn not_resumable(&self) -> ObjectError {
        ObjectError::NotResumable {
            upload: self.upload.id.clone(),
        }
    }

    /// Returns the mark of all that was read so far.
    fn mark(&self) -> Mark {
        let mut digest = Digest([0; 32]);
        let hash = self.hash.clone().finish();
        digest.0.copy_from_slice(hash.as_ref());
        Mark {
            chunks: self.read.chunks,
            bytes: self.read.bytes,
            digest,
        }
    }

    fn tell(&mut self, mark: &Mark) {
        if let Some(progress) = &mut self.upload.progress {
            progress(Sent {
                bytes: mark.bytes,
                chunks: mark.chunks,
            });
        }
    }
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("name", &self.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
