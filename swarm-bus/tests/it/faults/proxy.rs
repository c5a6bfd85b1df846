//! A line between a client and its servers that can fall silent, lag, break, or half of it.

use std::sync::Arc;
use std::time::Duration;
use tokio::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// How long what a client left behind may still be on its way.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// How the line carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) silent_to_server: bool,
    pub(super) silent_to_client: bool,
    pub(super) delay: Duration,
}

/// How present connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// At both ends.
    Cut,
    /// At the server's; the client waits.
    Half,
}

/// The lines from one client to every server.
pub(super) struct Proxy {
    pub(super) ports: Vec<u16>,
    flow: watch::Sender<Flow>,
    breaks: watch::Sender<Option<Break>>,
    /// Until when nobody is let through.
    closed: watch::Sender<Option<Instant>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Proxy {
    /// Listens with a port for each server.
    pub(super) async fn start(servers: &[u16]) -> Self {
        let (flow, breaks) = (watch::Sender::default(), watch::Sender::new(None));
        let closed = watch::Sender::new(None);
        let (mut ports, mut tasks) = (Vec::new(), Vec::new());
        for server in servers {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            ports.push(listener.local_addr().unwrap().port());
            let (flow, breaks) = (flow.subscribe(), breaks.subscribe());
            let listening = listen(listener, *server, flow, breaks, closed.subscribe());
            tasks.push(tokio::spawn(listening));
        }
        Self {
            ports,
            flow,
            breaks,
            closed,
            tasks,
        }
    }

    pub(super) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    pub(super) fn cut(&self) {
        self.breaks.send_replace(Some(Break::Cut));
    }

    /// Cuts the line, and lets nobody through for a time.
    pub(super) fn close(&self, time: Duration) {
        self.closed.send_replace(Some(Instant::now() + time));
        self.cut();
    }

    pub(super) fn halve(&self) {
        self.breaks.send_replace(Some(Break::Half));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.cut();
    }
}

async fn listen(
    listener: TcpListener,
    server: u16,
    flow: watch::Receiver<Flow>,
    breaks: watch::Receiver<Option<Break>>,
    closed: watch::Receiver<Option<Instant>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if closed.borrow().is_some_and(|until| Instant::now() < until) {
            continue;
        }
        let (flow, mut breaks) = (flow.clone(), breaks.clone());
        breaks.mark_unchanged();
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                connection(client, server, flow, breaks).await;
            }
        });
    }
}

async fn connection(
    client: TcpStream,
    server: TcpStream,
    flow: watch::Receiver<Flow>,
    mut breaks: watch::Receiver<Option<Break>>,
) {
    let (client, server) = (Arc::new(client), Arc::new(server));
    let to_server = relay(&client, &server, flow.clone(), |flow| flow.silent_to_server);
    let to_client = relay(&server, &client, flow, |flow| flow.silent_to_client);
    let carried = async {
        tokio::pin!(to_server, to_client);
        tokio::select! {
            _ = &mut to_server => {}
            end = &mut to_client => if end == End::Target {
                // The client gave it up; what it sent comes all the same.
                let _ = timeout(STRAGGLERS, to_server).await;
            }
        }
    };
    tokio::select! {
        biased;
        // What was held back until now does not come through.
        _ = breaks.changed() => {}
        () = carried => return,
    }
    let broken = *breaks.borrow_and_update();
    drop(server);
    if broken == Some(Break::Half) {
        // Nobody answers, until the client has enough or the line is cut.
        let nobody = async {
            let mut lost = [0; 4096];
            while client.readable().await.is_ok() {
                match client.try_read(&mut lost) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    _ => break,
                }
            }
        };
        tokio::select! {
            _ = timeout(STRAGGLERS, nobody) => {}
            _ = breaks.changed() => {}
        }
    }
}

/// Which side ended one way of a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Source,
    Target,
}

/// Carries one way. What was read while the line is silent comes when it is not, also if its sender
/// is gone by then: as a network may do.
async fn relay(
    from: &TcpStream,
    to: &TcpStream,
    mut flow: watch::Receiver<Flow>,
    is_silent: impl Fn(&Flow) -> bool,
) -> End {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(64);
    let read = async move {
        while from.readable().await.is_ok() {
            let mut bytes = vec![0; 16 << 10];
            match from.try_read(&mut bytes) {
                Ok(read @ 1..) => {
                    bytes.truncate(read);
                    if sender.send(bytes).await.is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    };
    let write = async {
        while let Some(bytes) = receiver.recv().await {
            let delay = match flow.wait_for(|flow| !is_silent(flow)).await {
                Ok(flow) => flow.delay,
                Err(_) => return End::Target,
            };
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if write_all(to, &bytes).await.is_err() {
                return End::Target;
            }
        }
        End::Source
    };
    tokio::pin!(read, write);
    tokio::select! {
        end = &mut write => end,
        () = &mut read => write.await,
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
