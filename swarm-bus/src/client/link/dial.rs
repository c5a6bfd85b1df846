//! From an address to a greeted connection.

use crate::client::options::Way;
use crate::client::{LinkError, Options, ServerAddr, ServerInfo};
use crate::wire::encode::{self, Connect};
use crate::wire::{Complaint, Decoder, Info, ProtocolError, ServerOp};
use bytes::BytesMut;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[cfg(not(feature = "testing"))]
type Stream = TlsStream<TcpStream>;
/// A server in this process is reached without TLS.
#[cfg(feature = "testing")]
type Stream = Box<dyn Duplex>;

#[cfg(feature = "testing")]
pub(crate) trait Duplex: AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
#[cfg(feature = "testing")]
impl<S: AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection that the server has accepted.
pub(crate) struct Dialed {
    pub(crate) stream: Stream,
    pub(crate) server: ServerInfo,
    pub(crate) received: BytesMut,
    pub(crate) decoder: Decoder,
}

/// Connects to one server: TCP, greeting, TLS, `CONNECT`, and the first `PONG`.
pub(crate) async fn dial(server: &ServerAddr, options: &Options) -> Result<Dialed, LinkError> {
    let attempt = attempt(server, options);
    match tokio::time::timeout(options.connect_timeout, attempt).await {
        Ok(result) => result,
        Err(_) => Err(LinkError::TimedOut {
            server: server.clone(),
            after: options.connect_timeout,
        }),
    }
}

async fn attempt(server: &ServerAddr, options: &Options) -> Result<Dialed, LinkError> {
    let mut decoder = Decoder::new(options.max_message);
    let mut received = BytesMut::new();
    let (info, mut stream) = match &options.way {
        Way::Tls(config) => {
            let mut tcp = tcp(server).await?;
            let info = greeting(server, &mut tcp, &mut decoder, &mut received).await?;
            if !info.tls_required && !info.tls_available {
                return Err(LinkError::NoTls {
                    server: server.clone(),
                });
            }
            // Nobody vouches for what was sent before TLS: what follows the greeting there must not
            // be taken for something that was sent inside. The greeting itself only says how much
            // the server can, and is at worst believed too little or too much.
            if !received.is_empty() {
                return Err(protocol(server, ProtocolError::BeforeTls));
            }
            let stream = tls(server, tcp, config).await?;
            #[cfg(feature = "testing")]
            let stream: Stream = Box::new(stream);
            (info, stream)
        }
        #[cfg(feature = "testing")]
        Way::InProcess(connector) => {
            let mut stream = connector.connect().map_err(|source| LinkError::Tcp {
                server: server.clone(),
                source,
            })?;
            let info = greeting(server, &mut stream, &mut decoder, &mut received).await?;
            (info, Box::new(stream) as Stream)
        }
    };

    let mut hello = Vec::new();
    encode::connect(&mut hello, &Connect::new(&options.name));
    hello.extend_from_slice(encode::PING);
    let sent = async {
        stream.write_all(&hello).await?;
        stream.flush().await
    };
    sent.await.map_err(|source| tls_error(server, source))?;
    loop {
        match next(server, &mut stream, &mut decoder, &mut received).await? {
            ServerOp::Pong => break,
            ServerOp::Err(Complaint::Unauthorized { text }) => {
                return Err(LinkError::Unauthorized {
                    server: server.clone(),
                    text,
                });
            }
            ServerOp::Err(Complaint::Other { text }) => {
                return Err(LinkError::ClosedByServer {
                    server: server.clone(),
                    text,
                });
            }
            ServerOp::Info(_) | ServerOp::Ok | ServerOp::Ping => {}
            ServerOp::Err(_) | ServerOp::Message(_) => {
                let expected = "PONG";
                return Err(protocol(server, ProtocolError::Unexpected { expected }));
            }
        }
    }
    Ok(Dialed {
        stream,
        server: server_info(server, info),
        received,
        decoder,
    })
}

async fn tcp(server: &ServerAddr) -> Result<TcpStream, LinkError> {
    let addresses = tokio::net::lookup_host((server.host(), server.port()))
        .await
        .map_err(|source| LinkError::Resolve {
            server: server.clone(),
            source,
        })?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small messages must not wait for company; the writer joins what waits anyway.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => last = Some(source),
        }
    }
    let server = server.clone();
    Err(match last {
        Some(source) => LinkError::Tcp { server, source },
        None => LinkError::Resolve {
            server,
            source: io::ErrorKind::NotFound.into(),
        },
    })
}

async fn greeting(
    server: &ServerAddr,
    from: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    received: &mut BytesMut,
) -> Result<Info, LinkError> {
    match next(server, from, decoder, received).await? {
        ServerOp::Info(info) => Ok(*info),
        ServerOp::Err(Complaint::Other { text } | Complaint::Unauthorized { text }) => {
            Err(LinkError::ClosedByServer {
                server: server.clone(),
                text,
            })
        }
        _ => {
            let expected = "INFO";
            Err(protocol(server, ProtocolError::Unexpected { expected }))
        }
    }
}

async fn tls(
    server: &ServerAddr,
    tcp: TcpStream,
    config: &Arc<rustls::ClientConfig>,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let name = rustls::pki_types::ServerName::try_from(server.host().to_owned())
        .expect("an address is parsed only with a host that TLS can name");
    tokio_rustls::TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .map_err(|source| tls_error(server, source))
}

/// Reads the next operation. In TLS 1.3 a server says only now what it thinks of our certificate.
async fn next(
    server: &ServerAddr,
    from: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    received: &mut BytesMut,
) -> Result<ServerOp, LinkError> {
    loop {
        match decoder.decode(received) {
            Ok(Some(op)) => return Ok(op),
            Ok(None) => {}
            Err(source) => return Err(protocol(server, source)),
        }
        match from.read_buf(received).await {
            Ok(0) => return Err(tls_error(server, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(source) => return Err(tls_error(server, source)),
        }
    }
}

fn protocol(server: &ServerAddr, source: ProtocolError) -> LinkError {
    LinkError::Protocol {
        server: server.clone(),
        source,
    }
}

/// Finds out whose certificate is at fault, if one is.
fn tls_error(server: &ServerAddr, error: io::Error) -> LinkError {
    use rustls::AlertDescription as Alert;
    let server = server.clone();
    let fault = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .cloned();
    match fault {
        Some(source @ rustls::Error::InvalidCertificate(_)) => {
            LinkError::ServerCertificate { server, source }
        }
        Some(
            source @ rustls::Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
                | Alert::NoCertificate,
            ),
        ) => LinkError::OurCertificate { server, source },
        Some(_) => LinkError::Tls {
            server,
            source: error,
        },
        None => LinkError::Broken {
            server,
            source: error,
        },
    }
}

fn server_info(address: &ServerAddr, info: Info) -> ServerInfo {
    ServerInfo {
        address: address.clone(),
        id: info.server_id,
        name: info.server_name,
        version: info.version.parse().unwrap_or_default(),
        max_payload: match usize::try_from(info.max_payload) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(max) => max,
        },
        jetstream: info.jetstream,
    }
}
