//! The socket that `wg` connects to.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use zeroize::Zeroize as _;

use super::apply::apply;
use super::parse::{Errno, Framing, MAX_REQUEST, frame, parse};
use super::render::outcome;
use crate::error::Error;
use crate::io::{Shared, wait};

/// Where `wg` looks for userspace tunnels.
const DIRECTORY: &str = "/var/run/wireguard";
/// How long a client may be silent. Requests are served one after another.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether the socket is still there.
const WATCH: Duration = Duration::from_millis(250);
/// Requests on one connection: enough for a tool, and a bound for a client that never stops.
const MAX_REQUESTS: usize = 1024;

/// The socket, removed when dropped.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens for an interface. A socket that nobody listens on any more is replaced.
    pub(crate) fn bind(interface: &str) -> Result<Self, Error> {
        let path = Path::new(DIRECTORY).join(format!("{interface}.sock"));
        Self::bind_at(&path).map_err(|source| Error::Uapi { path, source })
    }

    fn bind_at(path: &Path) -> io::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
            }
            Err(_) => {}
        }
        // Made where nobody else can reach it, and moved once its mode is right: at no moment
        // is it open to others.
        let private = directory.join(format!(
            ".{}-{}",
            path.file_name().unwrap_or_default().to_string_lossy(),
            std::process::id()
        ));
        fs::DirBuilder::new().mode(0o700).create(&private)?;
        let listener = Self::bind_private(&private.join("s"), path);
        let _ = fs::remove_file(private.join("s"));
        fs::remove_dir(&private)?;
        Ok(Self {
            listener: listener?,
            path: path.to_owned(),
        })
    }

    fn bind_private(made: &Path, path: &Path) -> io::Result<UnixListener> {
        let listener = UnixListener::bind(made)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(made, fs::Permissions::from_mode(0o600))?;
        fs::rename(made, path)?;
        Ok(listener)
    }

    /// Serves requests until the tunnel stops.
    pub(crate) fn serve(self, shared: &Shared) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = converse(&stream, shared) {
                        tracing::debug!(%error, "configuration connection ended");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN);
                    if !wait(shared, std::iter::once(ready), Some(WATCH)) {
                        return;
                    }
                    // Tools end a tunnel in userspace by removing its socket.
                    if !self.path.exists() {
                        tracing::warn!(path = %self.path.display(), "the socket was removed");
                        return shared.close();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a configuration connection");
                    std::thread::sleep(PATIENCE);
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Serves one connection until the client closes it, falls silent, or breaks the protocol.
fn converse(mut stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = zeroize::Zeroizing::new(Vec::new());
    for _ in 0..MAX_REQUESTS {
        let Some(length) = read_request(stream, &mut buffer)? else {
            return Ok(());
        };
        let answer = parse(&buffer[..length]).and_then(|request| apply(shared, request));
        if let Ok(Some(text)) = &answer {
            stream.write_all(text.as_bytes())?;
        }
        stream.write_all(outcome(answer.map(drop)).as_bytes())?;
        buffer[..length].zeroize();
        buffer.drain(..length);
    }
    Ok(())
}

/// Reads until a whole request lies at the start of the buffer; `None` at the end of the
/// connection.
fn read_request(mut stream: &UnixStream, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut seen = 0;
    loop {
        match frame(buffer, seen) {
            Framing::Complete(length) => return Ok(Some(length)),
            Framing::TooLong => {
                stream.write_all(outcome(Err(Errno::Protocol)).as_bytes())?;
                return Err(io::Error::other(format!(
                    "request longer than {MAX_REQUEST} bytes"
                )));
            }
            Framing::Partial => {}
        }
        seen = buffer.len();
        let mut chunk = zeroize::Zeroizing::new([0u8; 16 << 10]);
        match stream.read(chunk.as_mut_slice())? {
            0 => return Ok(None),
            length => buffer.extend_from_slice(&chunk[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_for_its_owner_alone_and_goes_with_the_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wg").join("t0.sock");
        let server = Server::bind_at(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let second = Server::bind_at(&path).map(drop).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_left_behind_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t0.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Server::bind_at(&path).unwrap();
    }
}
