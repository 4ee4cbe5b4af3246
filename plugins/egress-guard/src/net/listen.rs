//! Opens the listening socket, TCP or Unix, and accepts from it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use claude_bottle_egress_policy::{Listen, SocketAccess};
use rustix::fs::Mode;
use tokio::net::{TcpListener, UnixListener};

use super::stream::Stream;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket.
    Unix(UnixListener),
}

/// Where a client came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of the Unix socket.
    Unix,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// Opens the socket. A left-over Unix socket of a dead guard is replaced.
pub async fn listen(place: &Listen, access: SocketAccess) -> io::Result<Listener> {
    match place {
        Listen::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
        Listen::Unix(path) => {
            remove_stale(path)?;
            // The mask acts on the whole process, which makes no other file at this moment.
            let before = rustix::process::umask(match access {
                SocketAccess::Owner => Mode::from_raw_mode(0o177),
                SocketAccess::Everyone => Mode::from_raw_mode(0o111),
            });
            let listener = UnixListener::bind(path);
            rustix::process::umask(before);
            listener.map(Listener::Unix)
        }
    }
}

/// Removes a socket nobody listens on any more; one that answers is somebody else's.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Ok(_) => std::fs::remove_file(path),
    }
}

impl Listener {
    /// Waits for the next client.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true).ok();
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Returns the TCP address, for port 0 and for refusing to dial it.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.tcp_address()) {
            (_, Some(address)) => address.fmt(f),
            (Self::Unix(listener), _) => {
                match listener.local_addr().ok().as_ref().and_then(|a| a.as_pathname()) {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => f.write_str("unix"),
                }
            }
            (Self::Tcp(_), None) => f.write_str("tcp"),
        }
    }
}
