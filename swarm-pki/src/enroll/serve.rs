//! A listener for an enrolment server, for those who have no HTTP server to mount it in.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Server, server::seen_from};
use crate::{
    admission::Admission,
    tls::{ClientAuth, MeshTls},
};

/// How many connections may be open at once; more are closed as they come. Those from one place
/// are enough for machines that join together from behind one router.
const MAX_CONNECTIONS: usize = 256;
const MAX_FROM_ONE_PLACE: usize = 32;

/// How long a handshake, and then a request head, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may live, and how long the last ones may go on after the shutdown.
const LIFETIME: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(5);

/// The largest request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// How long to wait when the machine has no more file descriptors to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Serves enrolment on a listener until `shutdown` completes; requests under way are finished
    /// within 5 s then.
    ///
    /// The TLS asks for a client certificate and goes on without: joining machines have none.
    ///
    /// Strangers may come, so everything is bounded: 256 connections, 32 of them from one address
    /// (from one /64 of IPv6), 10 s for a handshake, a request head and a body each, 16 KiB of
    /// head, 32 KiB of body, one request and 60 s for a connection.
    pub async fn serve(
        &self,
        tls: &MeshTls,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) {
        let config = tls.server_config(ClientAuth::Optional, &[b"http/1.1"]);
        let admission = Admission::new(MAX_CONNECTIONS, MAX_FROM_ONE_PLACE);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                    Ok((stream, address)) => {
                        let Some(slot) = admission.admit(address.ip()) else { continue };
                        let connection =
                            connection(self.clone(), tls.clone(), config.clone(), stream, address);
                        connections.spawn(async move {
                            // Whoever takes longer has no right to a reason.
                            let _ = timeout(LIFETIME, connection).await;
                            drop(slot);
                        });
                    }
                },
            }
        }
        drop(listener);
        let _ = timeout(DRAIN, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
    }
}

async fn connection(
    server: Server,
    tls: MeshTls,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    address: SocketAddr,
) {
    let (stream, peer) = match timeout(PATIENCE, tls.accept(&config, stream)).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "handshake refused"),
        Err(_) => return tracing::debug!(%address, "no handshake in time"),
    };
    let peer = peer.as_ref();
    let service = service_fn(async |mut request| {
        seen_from(&mut request, address);
        let peer = peer.map(|peer| peer.certificate());
        Ok::<_, Infallible>(server.handle(peer, request).await)
    });
    // One request a connection: a certificate that is revoked meanwhile gets no second one.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%address, %error, "connection ended");
    }
}
