//! Bytes on their way out: protocol text, and between it payloads that are not copied.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// How long a payload must be to be kept where it is. Below that a copy costs less than the count of
/// its owners, which two cores pass to and fro.
const KEPT: usize = 512;
/// How long a batch grows before the next one begins: some hundred kilobytes are still in a
/// processor's cache when the writer comes to them.
const FULL: usize = 256 << 10;
/// How many bytes of memory wait empty for the next burst.
const SPARE: usize = 1 << 20;

/// A piece of what is to be written. As [`Buf`] it is read off the front.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    text: Vec<u8>,
    kept: VecDeque<Kept>,
    /// How much of the text is read.
    read: usize,
    left: usize,
}

/// A payload within a batch.
#[derive(Debug)]
struct Kept {
    /// How much text comes before it.
    after: usize,
    payload: Bytes,
}

impl Batch {
    /// The protocol text at the end, to be added to.
    pub(crate) fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.text.len();
        write(&mut self.text);
        self.left += self.text.len() - before;
    }

    /// Adds a payload.
    pub(super) fn payload(&mut self, payload: &Bytes) {
        self.left += payload.len();
        if payload.len() < KEPT {
            self.text.extend_from_slice(payload);
        } else {
            self.kept.push_back(Kept {
                after: self.text.len(),
                payload: payload.clone(),
            });
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.kept.clear();
        (self.read, self.left) = (0, 0);
    }

    fn memory(&self) -> usize {
        self.text.capacity() + self.kept.capacity() * size_of::<Kept>()
    }

    /// The text before the next payload, or before the end.
    fn front_text(&self) -> &[u8] {
        let end = self.kept.front().map_or(self.text.len(), |kept| kept.after);
        &self.text[self.read..end]
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        match (self.front_text(), self.kept.front()) {
            ([], Some(kept)) => &kept.payload,
            (text, _) => text,
        }
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut put = |bytes: &'a [u8]| {
            if let (false, Some(place)) = (bytes.is_empty(), to.get_mut(count)) {
                *place = IoSlice::new(bytes);
                count += 1;
            }
            count < to.len()
        };
        let mut read = self.read;
        for kept in &self.kept {
            if !put(&self.text[read..kept.after]) || !put(&kept.payload) {
                return count;
            }
            read = kept.after;
        }
        put(&self.text[read..]);
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.left, "no more is read than there is");
        self.left -= count;
        loop {
            let text = self.front_text().len().min(count);
            self.read += text;
            count -= text;
            match self.kept.front_mut() {
                Some(kept) if count >= kept.payload.len() && self.read == kept.after => {
                    count -= kept.payload.len();
                    self.kept.pop_front();
                }
                Some(kept) => return kept.payload.advance(count),
                None => return,
            }
        }
    }
}

/// Batches in order.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    queue: VecDeque<Batch>,
    length: usize,
    spare: Vec<Batch>,
    spare_memory: usize,
}

impl Batches {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Adds to the end what `write` writes.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Batch)) {
        if self.queue.back().is_none_or(|batch| batch.left >= FULL) {
            let batch = self.spare.pop().unwrap_or_default();
            self.spare_memory = self.spare_memory.saturating_sub(batch.memory());
            self.queue.push_back(batch);
        }
        let batch = self.queue.back_mut().expect("one was put there");
        let before = batch.left;
        write(batch);
        self.length += batch.left - before;
    }

    /// Takes what comes first.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        let batch = self.queue.pop_front()?;
        self.length -= batch.left;
        Some(batch)
    }

    /// Takes back a batch that was written, to use its memory again. One large burst should not
    /// hold its memory for the life of a connection.
    pub(crate) fn reuse(&mut self, mut batch: Batch) {
        batch.clear();
        let memory = batch.memory();
        if self.spare_memory + memory <= SPARE {
            self.spare_memory += memory;
            self.spare.push(batch);
        }
    }

    /// Adds other batches to the end.
    pub(crate) fn append(&mut self, other: Self) {
        self.length += other.length;
        self.queue.extend(other.queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut batches: Batches) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(batch) = batches.take() {
            let mut slices = [IoSlice::new(&[]); 9];
            let count = batch.chunks_vectored(&mut slices);
            let joined: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|s| s.iter().copied())
                .collect();
            let mut batch = batch;
            let length = batch.remaining();
            let read = batch.copy_to_bytes(length);
            assert!(read.starts_with(&joined));
            bytes.extend_from_slice(&read);
        }
        bytes
    }

    #[test]
    fn a_long_payload_is_not_copied() {
        let payload = Bytes::from(vec![7; KEPT]);
        let mut batch = Batch::default();
        batch.payload(&payload);
        assert_eq!(batch.chunk().as_ptr(), payload.as_ptr());
    }

    #[test]
    fn memory_is_used_again_and_not_held_without_bound() {
        let mut batches = Batches::default();
        for _ in 0..3 {
            batches.write(|batch| batch.text(|text| text.resize(FULL, b'x')));
        }
        assert_eq!((batches.queue.len(), batches.len()), (3, 3 * FULL));
        let first = batches.take().unwrap();
        let place = first.text.as_ptr();
        batches.reuse(first);
        batches.write(|batch| batch.text(|text| text.push(b'y')));
        assert_eq!(batches.queue.back().unwrap().text.as_ptr(), place);
        batches.reuse(Batch {
            text: Vec::with_capacity(SPARE + 1),
            ..Batch::default()
        });
        assert_eq!((batches.spare.len(), batches.spare_memory), (0, 0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_order_however_it_is_cut(
            pieces in prop::collection::vec((any::<bool>(), 0_usize..2 * KEPT), 0..40),
            steps in prop::collection::vec(1_usize..3 * KEPT, 1..20),
        ) {
            let (mut batches, mut batch, mut expected) = (Batches::default(), Batch::default(), vec![]);
            for (number, (is_payload, length)) in pieces.into_iter().enumerate() {
                let bytes = Bytes::from(vec![number as u8; length]);
                expected.extend_from_slice(&bytes);
                let write = |to: &mut Batch| match is_payload {
                    true => to.payload(&bytes),
                    false => to.text(|text| text.extend_from_slice(&bytes)),
                };
                write(&mut batch);
                batches.write(write);
            }
            prop_assert_eq!(batches.len(), expected.len());
            prop_assert_eq!(all(batches), &expected[..]);
            let mut read = Vec::new();
            for step in steps.into_iter().cycle() {
                if !batch.has_remaining() {
                    break;
                }
                let step = step.min(batch.remaining());
                read.extend_from_slice(&batch.copy_to_bytes(step));
            }
            prop_assert_eq!(read, expected);
        }
    }
}
