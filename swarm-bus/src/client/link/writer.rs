//! The writing side of a connection.
//!
//! It belongs to the connection's task. Who waits for the answer to a message, and finds the task
//! asleep, writes the message in its place: waking a task on another core takes longer than writing.

use super::lock;
use super::outbound::{Outbound, Wake, Work};
use crate::client::statistics::count;
use crate::wire::Batch;
use bytes::Buf;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How many pieces are written at once: messages of 1 KiB, of two pieces each, fill the 64 KiB that
/// TLS takes.
const SLICES: usize = 128;

/// Empty before the connection begins and after it ended.
#[derive(Default)]
pub(super) struct Writer(Mutex<Option<Inner>>);

struct Inner {
    to: Box<dyn AsyncWrite + Send + Unpin>,
    batch: Option<Batch>,
    /// Whether TLS may hold what it was given. It is sent before TLS is given more, so that it
    /// fills its records: only the end of a batch is not a full one.
    unsent: bool,
    ending: bool,
    /// What somebody other than the task ran into.
    error: Option<io::Error>,
}

impl Writer {
    /// Takes the line, until what is returned is dropped.
    pub(super) fn begin(&self, to: impl AsyncWrite + Send + Unpin + 'static) -> Line<'_> {
        *lock(&self.0) = Some(Inner {
            to: Box::new(to),
            batch: None,
            unsent: false,
            ending: false,
            error: None,
        });
        Line(self)
    }

    /// Writes what there is and what comes; ready when the connection has ended, in order or not.
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        out: &Outbound,
        written: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        match &mut *lock(&self.0) {
            Some(inner) => inner.poll(context, out, written, usize::MAX),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Writes in place of the task, as far as that goes without waiting; the task does the rest.
    pub(super) fn write_now(&self, wake: Wake, out: &Outbound, written: &AtomicU64) {
        let (Some(waker), Ok(mut inner)) = (wake.waker(), self.0.try_lock()) else {
            return; // the task is woken by the drop of `wake`
        };
        let Some(inner) = &mut *inner else {
            return;
        };
        match inner.poll(&mut Context::from_waker(waker), out, written, 1) {
            // The task waits again, or for the line.
            Poll::Pending => wake.forget(),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => inner.error = Some(error),
        }
    }
}

/// Closes the line when it is dropped, also with a task that is.
pub(super) struct Line<'a>(&'a Writer);

impl Drop for Line<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).take();
    }
}

impl Inner {
    /// Writes up to so many batches. Pending means that the waker is called when there is more to
    /// do; ready without an error that the end is reached, or the number.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        out: &Outbound,
        written: &AtomicU64,
        batches: usize,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        let mut done = 0;
        while !self.ending {
            if let Some(batch) = &mut self.batch {
                while batch.has_remaining() || self.unsent {
                    if self.unsent {
                        ready!(Pin::new(&mut self.to).poll_flush(context))?;
                        self.unsent = false;
                        continue;
                    }
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let slices = {
                        let count = batch.chunks_vectored(&mut slices);
                        &slices[..count]
                    };
                    let took = ready!(Pin::new(&mut self.to).poll_write_vectored(context, slices))?;
                    if took == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    batch.advance(took);
                    count(written, took);
                    self.unsent = true;
                }
                done += 1;
            }
            match out.take(self.batch.take(), context.waker()) {
                Work::Write(batch) => self.batch = Some(batch),
                Work::Wait => return Poll::Pending,
                Work::Finish => self.ending = true,
            }
            if done == batches {
                return Poll::Ready(Ok(()));
            }
        }
        let _ = ready!(Pin::new(&mut self.to).poll_shutdown(context));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::{ArcWake, waker};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::AsyncReadExt;

    /// Counts how often the task is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl ArcWake for Task {
        fn wake_by_ref(task: &Arc<Self>) {
            task.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Fixture {
        out: Outbound,
        writer: Writer,
        written: AtomicU64,
        task: Arc<Task>,
    }

    impl Fixture {
        fn new(room: usize) -> (Self, tokio::io::DuplexStream) {
            let (near, far) = tokio::io::duplex(room);
            let line = Self {
                out: Outbound::new(1 << 20),
                writer: Writer::default(),
                written: AtomicU64::new(0),
                task: Arc::default(),
            };
            std::mem::forget(line.writer.begin(near));
            assert!(line.poll().is_pending());
            (line, far)
        }

        fn poll(&self) -> Poll<io::Result<()>> {
            let waker = waker(Arc::clone(&self.task));
            let context = &mut Context::from_waker(&waker);
            self.writer.poll_write(context, &self.out, &self.written)
        }

        fn put(&self, text: &'static str) -> Wake {
            let write = |to: &mut Batch| to.text(|to| to.extend_from_slice(text.as_bytes()));
            self.out.user(text.len(), write).unwrap()
        }

        fn write_now(&self, wake: Wake) {
            self.writer.write_now(wake, &self.out, &self.written);
        }

        fn woken(&self) -> usize {
            self.task.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_message_is_written_by_who_sends_it_and_the_task_sleeps_on() {
        let (line, mut far) = Fixture::new(64);
        line.write_now(line.put("one "));
        line.write_now(line.put("two "));
        assert_eq!(line.woken(), 0);
        drop(line.put("three"));
        assert_eq!(line.woken(), 1);
        assert!(line.poll().is_pending());
        let mut text = [0; 13];
        far.read_exact(&mut text).await.unwrap();
        assert_eq!((&text[..], line.out.pending()), (&b"one two three"[..], 0));
    }

    #[tokio::test]
    async fn what_a_sender_cannot_write_the_task_writes_when_the_line_has_room() {
        let (line, mut far) = Fixture::new(4);
        line.write_now(line.put("123456"));
        assert_eq!((line.woken(), line.written.load(Ordering::Relaxed)), (0, 4));
        // Not woken: the line wakes the task.
        line.write_now(line.put("789"));
        assert_eq!(line.woken(), 0);
        let mut text = [0; 9];
        far.read_exact(&mut text[..4]).await.unwrap();
        assert_eq!(line.woken(), 1);
        assert!(line.poll().is_pending());
        far.read_exact(&mut text[4..8]).await.unwrap();
        assert!(line.poll().is_pending());
        far.read_exact(&mut text[8..]).await.unwrap();
        assert_eq!(&text, b"123456789");
        assert_eq!(line.written.load(Ordering::Relaxed), 9);
    }

    #[tokio::test]
    async fn what_a_sender_runs_into_ends_the_task() {
        let (line, far) = Fixture::new(64);
        drop(far);
        line.write_now(line.put("lost"));
        assert_eq!(line.woken(), 1);
        assert!(matches!(line.poll(), Poll::Ready(Err(_))));
    }

    #[tokio::test]
    async fn the_end_comes_after_what_waits() {
        let (line, mut far) = Fixture::new(64);
        drop(line.put("last"));
        line.out.finish();
        assert!(matches!(line.poll(), Poll::Ready(Ok(()))));
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "last");
    }
}
