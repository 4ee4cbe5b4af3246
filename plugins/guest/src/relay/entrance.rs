//! A port or socket in the bottle, and what its connections lead to.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, connect, socket_with,
};

use super::carry::Connection;

/// How the other side is told what a connection is for. Places are `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The client speaks to the other side itself.
    Plain,
    /// The guard is asked for a tunnel to this place.
    Tunnel(String),
    /// The client believes to be at this place: the guard is told, and finds out what is spoken.
    Caught(String),
}

/// A listening socket, and where its connections lead.
pub(crate) struct Entrance {
    listener: OwnedFd,
    to: PathBuf,
    opening: Opening,
    /// The address that stands for a name, when it has one of its own.
    address: Option<Ipv4Addr>,
}

impl Entrance {
    /// Makes an entrance of a socket that listens already.
    pub(crate) fn new(listener: impl Into<OwnedFd>, to: &Path, opening: Opening) -> io::Result<Self> {
        let listener = listener.into();
        rustix::io::ioctl_fionbio(&listener, true)?;
        Ok(Self { listener, to: to.to_path_buf(), opening, address: None })
    }

    /// Makes the entrance of a port on 127.0.0.1.
    pub(super) fn on_port(port: u16, to: &Path, opening: Opening) -> io::Result<Self> {
        Self::new(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?, to, opening)
    }

    /// Notes the address by which it is closed.
    pub(crate) fn at(self, address: Ipv4Addr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Returns `true` if it has this address for itself.
    pub(super) fn is_at(&self, address: Ipv4Addr) -> bool {
        self.address == Some(address)
    }

    /// Returns the socket at which clients wait.
    pub(super) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Takes a waiting connection and opens its way. One that leads nowhere is closed.
    pub(super) fn accept(&self) -> Result<Option<Connection>, Errno> {
        let client = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(client) => client,
            // It was taken back.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A Unix socket has no such setting.
        set_tcp_nodelay(&client, true).ok();
        let server = reach(&self.to).ok();
        Ok(server.map(|server| Connection::new(client, server, &self.opening)))
    }
}

/// Connects to a socket without waiting: while a guard takes no more connections, those that are open must go on.
pub(crate) fn reach(to: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let server = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&server, &SocketAddrUnix::new(to)?)?;
    Ok(server)
}
