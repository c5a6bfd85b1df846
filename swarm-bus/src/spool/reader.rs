//! Reads what waits, in order, a segment at a time.

use super::lock;
use super::loss::LossReason;
use super::record::Record;
use super::segment::{HEADER, Piece, Scan, file_name};
use super::writer::Shared;
use bytes::Bytes;
use std::sync::Arc;

pub(super) struct Reader {
    shared: Arc<Shared>,
    next: u64,
    loaded: Loaded,
}

/// A segment in memory, as far as it was read.
#[derive(Default)]
struct Loaded {
    first: Option<u64>,
    /// How many bytes of it were read.
    read: u64,
    chunks: Vec<Bytes>,
    /// The number, chunk, offset and length of each record.
    index: Vec<(u64, usize, usize, usize)>,
}

impl Loaded {
    fn find(&self, number: u64) -> Option<Bytes> {
        let at = self.index.binary_search_by_key(&number, |entry| entry.0);
        let (_, chunk, offset, length) = self.index[at.ok()?];
        Some(self.chunks[chunk].slice(offset..offset + length))
    }
}

/// What is to be sent next: a whole record.
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            next: 0,
            loaded: Loaded::default(),
        }
    }

    /// Returns to a message.
    pub(super) fn rewind(&mut self, number: u64) {
        self.next = self.next.min(number);
    }

    /// Goes on behind a message.
    pub(super) fn pass(&mut self, number: u64) {
        self.next = number + 1;
    }

    /// Returns the next message that waits; `None` when there is none, or it cannot be read now.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        loop {
            let (number, first, end, length) = {
                let ledger = lock(&self.shared.ledger);
                let (number, extent) = ledger.waiting_from(self.next)?;
                (number, extent.first, extent.end, extent.bytes)
            };
            self.next = number;
            if self.loaded.first != Some(first) {
                self.loaded = Loaded {
                    first: Some(first),
                    read: HEADER as u64,
                    ..Loaded::default()
                };
            }
            if let Some(bytes) = self.loaded.find(number) {
                return Some(Waiting { number, bytes });
            }
            if self.loaded.read < length {
                self.load(first, end, length).await?;
                continue;
            }
            // It was there when it was put, or when the spool was opened.
            if self.shared.finish(number) {
                self.shared.lose(LossReason::Damaged, None, 1);
            }
        }
    }

    /// Reads what was added to the segment.
    async fn load(&mut self, first: u64, end: u64, length: u64) -> Option<()> {
        let from = self.loaded.read;
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let length = usize::try_from(length - from).unwrap_or(usize::MAX);
            shared.files.read(&file_name(first), from, length)
        };
        let bytes = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(bytes)) => Bytes::from(bytes),
            // It was removed just now, or the disk fails: looked at again soon.
            _ => {
                self.loaded = Loaded::default();
                return None;
            }
        };
        let next = self.loaded.index.last().map_or(first, |entry| entry.0 + 1);
        let chunk = self.loaded.chunks.len();
        for piece in Scan::new(&bytes, 0, next, end) {
            if let Piece::Record(at, record) = piece {
                let entry = (record.number, chunk, at, record.size());
                self.loaded.index.push(entry);
            }
        }
        self.loaded.read = length;
        self.loaded.chunks.push(bytes);
        Some(())
    }
}

impl Waiting {
    /// Reads the record, which was whole when it was found.
    pub(super) fn record(&self) -> Option<Record<'_>> {
        Record::read(&self.bytes).ok()
    }
}
