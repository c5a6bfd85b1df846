//! Two services that talk over tokio-rustls, each sure of who the other is.
//!
//! ```sh
//! cargo run -p swarm-pki --example two_services
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod fleet;

use std::error::Error;

use swarm_pki::{
    Timestamp,
    tls::{ClientAuth, Expected, MeshTls},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Greets sensors, and hangs up on one as soon as it is revoked.
async fn collector(
    tls: MeshTls,
    listener: TcpListener,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Whoever is no sensor is refused in the handshake.
    let sensors = ClientAuth::Expected(Expected::Role("sensor".parse()?));
    let acceptor = TlsAcceptor::from(tls.server_config(sensors, &[]));
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, acceptor) = (tls.clone(), acceptor.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let peer = tls
                .peer(stream.get_ref().1)
                .expect("clients have certificates here");
            let greeting = format!("hello {}", peer.id());
            let serve = async {
                stream.write_all(greeting.as_bytes()).await?;
                stream.read_to_end(&mut Vec::new()).await
            };
            tokio::select! {
                _ = serve => {}
                why = tls.guard(&peer) => println!("collector: {} is cut off: {why}", peer.id()),
            }
        });
    }
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let fleet = fleet::Fleet::new()?;
    let hub = fleet.node("hub", "collector")?;
    let probe = fleet.node("probe7", "sensor")?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(collector(hub.clone(), listener));

    // The client goes by the peer's identity. The name that TLS is given is not compared.
    let expected = Expected::Node("hub".parse()?);
    let connector = TlsConnector::from(probe.client_config(expected, &[]));
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector
        .connect("hub.fleet.internal".try_into()?, stream)
        .await?;
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).await?;
    println!("probe7: {}", String::from_utf8_lossy(&greeting));

    // The probe is stolen. The news reaches the hub by whatever way.
    let news = fleet.revoke("probe7")?;
    hub.update_trust(|trust| {
        trust.merge(&news, Timestamp::now());
        Ok::<_, std::convert::Infallible>(())
    })?;
    let end = stream.read_u8().await;
    println!("probe7: {}", end.expect_err("the collector hangs up"));
    serving.abort();
    Ok(())
}
