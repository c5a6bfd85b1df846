//! Moves bytes: reads, writes and listens for silence, until one of them ends.

use super::Link;
use crate::client::statistics::count;
use crate::client::{LinkError, Options};
use crate::wire::{Decoder, ServerOp, encode};
use bytes::{BufMut, BytesMut};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

/// How many bytes are read at once.
const READ_CHUNK: usize = 64 << 10;

impl Link {
    /// Runs the connection to its end. `received` is what came after the greeting.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self: Arc<Self>,
        stream: S,
        received: BytesMut,
        decoder: Decoder,
        options: Arc<Options>,
    ) {
        let (reader, writer) = tokio::io::split(stream);
        let _line = self.writer.begin(writer);
        let heard = Heard::new();
        let error = tokio::select! {
            error = self.read(reader, received, decoder, &heard) => error,
            error = self.write() => error,
            error = self.listen(&heard, &options) => error,
        };
        self.end(error);
    }

    async fn read(
        self: &Arc<Self>,
        mut from: impl AsyncRead + Unpin,
        mut buffer: BytesMut,
        mut decoder: Decoder,
        heard: &Heard,
    ) -> LinkError {
        loop {
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(op)) => {
                        if let Err(error) = self.handle(op) {
                            return error;
                        }
                    }
                    Ok(None) => break,
                    Err(source) => {
                        return LinkError::Protocol {
                            server: self.server.address.clone(),
                            source,
                        };
                    }
                }
            }
            buffer.reserve(READ_CHUNK);
            match from.read_buf(&mut buffer).await {
                Ok(0) => return self.broken(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => count(&self.counters.bytes_in, read),
                Err(source) => return self.broken(source),
            }
            heard.now();
        }
    }

    fn handle(self: &Arc<Self>, op: ServerOp) -> Result<(), LinkError> {
        match op {
            ServerOp::Message(delivery) => self.handle_message(delivery),
            ServerOp::Ping => self.out.control(|to| to.put_slice(encode::PONG)),
            ServerOp::Pong => {
                if !self.out.handle_pong() {
                    return Err(LinkError::Protocol {
                        server: self.server.address.clone(),
                        source: crate::wire::ProtocolError::Malformed("PONG"),
                    });
                }
            }
            ServerOp::Err(complaint) => self.handle_complaint(complaint),
            ServerOp::Info(_) | ServerOp::Ok => {}
        }
        Ok(())
    }

    async fn write(&self) -> LinkError {
        let written = &self.counters.bytes_out;
        let end = poll_fn(|context| self.writer.poll_write(context, &self.out, written));
        match end.await {
            Ok(()) => LinkError::Closed,
            Err(source) => self.broken(source),
        }
    }

    async fn listen(&self, heard: &Heard, options: &Options) -> LinkError {
        let mut probed = Instant::now();
        loop {
            // Looked at thrice an interval, so that a dead line is found little after its time.
            tokio::time::sleep(options.ping_interval / 3).await;
            let quiet = heard.quiet();
            if quiet >= options.dead_after {
                return LinkError::Silent {
                    server: self.server.address.clone(),
                    after: options.dead_after,
                };
            }
            if quiet >= options.ping_interval && probed.elapsed() >= options.ping_interval {
                self.out.probe();
                probed = Instant::now();
            }
        }
    }

    fn broken(&self, source: io::Error) -> LinkError {
        LinkError::Broken {
            server: self.server.address.clone(),
            source,
        }
    }
}

/// When something came last.
struct Heard {
    start: Instant,
    millis: AtomicU64,
}

impl Heard {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    fn now(&self) {
        let millis = self.start.elapsed().as_millis() as u64;
        self.millis.store(millis, Ordering::Relaxed);
    }

    fn quiet(&self) -> std::time::Duration {
        let millis = std::time::Duration::from_millis(self.millis.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(millis)
    }
}
