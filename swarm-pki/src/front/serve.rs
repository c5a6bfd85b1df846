//! The accept loop, and the life of one connection.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Front, Mode, idle::Watched, proxy::Proxy, upstream::Duplex};
use crate::{admission::Admission, tls::Peer};

/// How long to wait when the machine has no more file descriptors to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Front {
    /// Serves connections from the listener until `shutdown` completes; then accepts no more, lets
    /// requests under way finish for at most [`drain`](super::Limits::drain), and cuts the rest.
    ///
    /// A failure to accept is logged and retried: it is never a reason to stop serving. Dropping
    /// the future cuts every connection at once.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let limits = &self.shared.limits;
        let admission = Admission::new(limits.max_connections, limits.max_from_one_address);
        let (drain, draining) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Err(error) => self.pause(&error).await,
                    Ok((stream, address)) => {
                        let live = &self.shared.live;
                        live.accepted.one();
                        let Some(slot) = admission.admit(address.ip()) else {
                            live.refused_full.one();
                            live.closed.one();
                            continue;
                        };
                        let (front, draining) = (self.clone(), draining.clone());
                        connections.spawn(async move {
                            front.connection(stream, address, draining).await;
                            front.shared.live.closed.one();
                            drop(slot);
                        });
                    }
                },
            }
        }
        drop(listener);
        drain.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(self.shared.limits.drain, drained).await.is_err() {
            let left = connections.len() as u64;
            connections.shutdown().await;
            self.shared.live.cut_at_shutdown.add(left);
            self.shared.live.closed.add(left);
        }
    }

    async fn pause(&self, error: &io::Error) {
        tracing::warn!(%error, "cannot accept a connection");
        sleep(ACCEPT_PAUSE).await;
    }

    /// One connection is one task: whatever ends first ends all of it.
    async fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        draining: watch::Receiver<bool>,
    ) {
        let shared = &*self.shared;
        let _ = stream.set_nodelay(true);
        let stream = Watched::new(stream);
        let activity = stream.activity();
        let accept = shared.tls.accept(&shared.config, stream);
        let (stream, peer) = match timeout(shared.limits.handshake, accept).await {
            Ok(Ok((stream, Some(peer)))) => (stream, peer),
            Ok(Ok((_, None))) => return shared.live.refused_handshake.one(),
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "handshake refused");
                return shared.live.refused_handshake.one();
            }
            Err(_) => return shared.live.refused_handshake.one(),
        };
        tokio::select! {
            biased;
            distrust = shared.tls.guard(&peer) => {
                tracing::info!(peer = %peer.id(), %address, %distrust, "connection cut");
                shared.live.cut_untrusted.one();
            }
            () = activity.idle(shared.limits.idle) => shared.live.cut_idle.one(),
            () = self.relay(stream, &peer, address, draining) => {}
        }
    }

    async fn relay(
        &self,
        mut stream: impl Duplex + 'static,
        peer: &Peer,
        address: SocketAddr,
        draining: watch::Receiver<bool>,
    ) {
        let shared = &*self.shared;
        let (limits, live) = (&shared.limits, &shared.live);
        match &shared.mode {
            Mode::Http(rules) => {
                Proxy::new(rules, limits, live, &shared.upstream, peer, address.ip())
                    .run(stream, draining)
                    .await;
            }
            Mode::Raw(access) if !access.admits(peer.certificate()) => live.refused_access.one(),
            Mode::Raw(_) => match shared.upstream.connect(limits.connect).await {
                Ok(mut service) => {
                    live.forwarded.one();
                    // How a raw connection ends is between its two ends.
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut service).await;
                }
                Err(error) => {
                    tracing::warn!(upstream = %shared.upstream, %error, "the service is down");
                    live.upstream_down.one();
                }
            },
        }
    }
}
