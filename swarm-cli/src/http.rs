//! Plain HTTP to this machine alone: loopback ports and unix sockets, bounded in time and size.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long one exchange may take.
const LIMIT_TIME: Duration = Duration::from_secs(10);
/// How large an answer may be, in bytes.
const LIMIT_SIZE: usize = 32 << 20;

/// Why a local HTTP exchange failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Nothing listens there, or the connection broke.
    #[error("cannot connect to {to}")]
    Connect {
        /// The address or the path of the socket.
        to: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The other side does not speak HTTP, or hung up.
    #[error("no valid answer from {to}: {reason}")]
    Protocol {
        /// The address or the path of the socket.
        to: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// No answer came in time.
    #[error("no answer from {to} in {} s", LIMIT_TIME.as_secs())]
    Timeout {
        /// The address or the path of the socket.
        to: String,
    },
    /// The answer was an error.
    #[error("{to} answered {status}: {body}")]
    Status {
        /// The address or the path of the socket.
        to: String,
        /// The HTTP status.
        status: StatusCode,
        /// The first line of the answer.
        body: String,
    },
}

/// Fetches `path` from a loopback port.
///
/// # Errors
///
/// When nothing listens there, no valid answer comes in 10 seconds, or it is not a 2xx.
pub async fn get(address: SocketAddr, path: &str) -> Result<Bytes, HttpError> {
    let request = Request::get(path).header("host", address.to_string());
    let request = request
        .body(Full::default())
        .map_err(|error| protocol(address, error))?;
    over_tcp(address, request).await
}

/// Sends a request to a loopback port.
///
/// # Errors
///
/// When nothing listens there, no valid answer comes in 10 seconds, or it is not a 2xx.
pub(crate) async fn over_tcp(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, HttpError> {
    let connect = TcpStream::connect(address);
    bounded(&address.to_string(), connect, request).await
}

/// Sends a request to a unix socket.
///
/// # Errors
///
/// When nothing listens there, no valid answer comes in 10 seconds, or it is not a 2xx.
pub(crate) async fn over_unix(
    socket: &Path,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, HttpError> {
    let to = socket.display().to_string();
    let connect = async {
        let short = short_path(socket)?;
        UnixStream::connect(short.path()).await
    };
    bounded(&to, connect, request).await
}

/// A path to a unix socket that fits into an address, whose limit is 108 bytes: a long one leads through the
/// descriptor of its directory.
pub(crate) struct ShortPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl ShortPath {
    /// The path, good as long as this value lives.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Shortens the path of a socket if it must be.
///
/// # Errors
///
/// When its directory cannot be opened.
pub(crate) fn short_path(socket: &Path) -> std::io::Result<ShortPath> {
    const LONGEST: usize = 107;
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Ok(ShortPath {
            path: socket.to_owned(),
            _directory: None,
        });
    };
    if socket.as_os_str().len() <= LONGEST {
        return Ok(ShortPath {
            path: socket.to_owned(),
            _directory: None,
        });
    }
    let directory = File::open(directory)?;
    let path = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    Ok(ShortPath {
        path,
        _directory: Some(directory),
    })
}

async fn bounded<S>(
    to: &str,
    connect: impl Future<Output = std::io::Result<S>>,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchange = async {
        let stream = connect.await.map_err(|source| HttpError::Connect {
            to: to.to_owned(),
            source,
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| protocol(to, error))?;
        let connection = tokio::spawn(connection);
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| protocol(to, error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LIMIT_SIZE)
            .collect()
            .await
            .map_err(|error| protocol(to, error))?;
        connection.abort();
        success(to, Response::from_parts(head, body.to_bytes()))
    };
    match tokio::time::timeout(LIMIT_TIME, exchange).await {
        Ok(result) => result,
        Err(_) => Err(HttpError::Timeout { to: to.to_owned() }),
    }
}

fn success(to: &str, answer: Response<Bytes>) -> Result<Bytes, HttpError> {
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let body = String::from_utf8_lossy(answer.body())
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    Err(HttpError::Status {
        to: to.to_owned(),
        status: answer.status(),
        body,
    })
}

fn protocol(to: impl ToString, reason: impl ToString) -> HttpError {
    HttpError::Protocol {
        to: to.to_string(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::short_path;

    #[test]
    fn a_socket_below_a_long_path_can_be_reached() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let socket = deep.join("control.sock");
        let listener =
            std::os::unix::net::UnixListener::bind(short_path(&socket).unwrap().path()).unwrap();
        std::os::unix::net::UnixStream::connect(short_path(&socket).unwrap().path()).unwrap();
        listener.accept().unwrap();
        assert!(socket.exists());
    }
}
