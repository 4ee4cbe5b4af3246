//! A connection from the host to a port of a bottle's loopback.

use std::os::fd::{OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::Result;

/// Which port to connect to, and what to join to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The TCP port on the loopback of the bottle: on 127.0.0.1 or, where nothing takes a connection there, on ::1. Never 0.
    pub port: u16,
    /// The descriptor of this process that is joined to it: a connected stream socket, of TCP or of Unix.
    pub stream: RawFd,
}

impl ConnectRequest {
    /// Asks for a connection.
    pub fn new(port: u16, stream: RawFd) -> Self {
        Self { port, stream }
    }

    /// Duplicates the descriptor of the stream, which is borrowed for the call.
    ///
    /// # Errors
    ///
    /// [`crate::FailureKind::Invalid`] if it is not an open descriptor.
    pub fn stream(&self) -> Result<OwnedFd> {
        crate::types::exec::open(self.stream)
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connected {
    /// Whether the server's side broke off before its end, so that the host breaks off its own: what came may be a part only.
    #[serde(default)]
    pub cut: bool,
}

impl Connected {
    /// Says that both directions were carried to their ends, or that the host's side has left.
    pub fn whole() -> Self {
        Self { cut: false }
    }

    /// Says that the server's side broke off.
    pub fn cut() -> Self {
        Self { cut: true }
    }
}
