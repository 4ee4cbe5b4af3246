//! One direction of a connection: bytes from one end to another, without waiting for either.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};
use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// How much is read at once.
pub(super) const BUFFER: usize = 64 << 10;

/// One end of a flow.
pub(super) enum End {
    /// A socket, which others may share: each read and write says that it does not wait.
    Socket(OwnedFd),
    /// A pipe of this connection's own, set not to wait.
    Pipe(OwnedFd),
}

/// What a read comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    Nothing,
    End,
    Broken,
}

impl End {
    /// Takes a pipe.
    pub(super) fn pipe(fd: OwnedFd) -> Result<Self> {
        let set = || fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK);
        set().failure(FailureKind::Internal, || "cannot use a pipe")?;
        Ok(Self::Pipe(fd))
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> Got {
        let read = match self {
            Self::Socket(fd) => recv(fd, &mut *buffer, RecvFlags::DONTWAIT).map(|(length, _)| length),
            Self::Pipe(fd) => rustix::io::read(fd, &mut *buffer),
        };
        match read {
            Ok(0) => Got::End,
            Ok(length) => Got::Bytes(length),
            Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
            Err(_) => Got::Broken,
        }
    }

    fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Socket(fd) => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Self::Pipe(fd) => rustix::io::write(fd, bytes),
        }
    }

    /// Says that nothing more is written.
    fn finish(self) {
        if let Self::Socket(fd) = &self {
            // The other side may be gone already.
            shutdown(fd, Shutdown::Write).ok();
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket(fd) | Self::Pipe(fd) => fd.as_fd(),
        }
    }
}

/// Which end has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    From,
    To,
}

/// A direction.
pub(super) struct Flow {
    from: Option<End>,
    to: Option<End>,
    /// What was read and could not be written yet. Nothing is read meanwhile.
    pending: Vec<u8>,
    written: u64,
}

impl Flow {
    pub(super) fn new(from: End, to: End) -> Self {
        Self { from: Some(from), to: Some(to), pending: Vec::new(), written: 0 }
    }

    /// Returns `true` if no more can be read and all that was read is written.
    pub(super) fn is_drained(&self) -> bool {
        self.from.is_none() && self.pending.is_empty()
    }

    /// Returns `true` if the end was passed on, or its receiver is gone.
    pub(super) fn is_over(&self) -> bool {
        self.to.is_none()
    }

    /// Returns how many bytes have arrived.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Returns what it waits for: room for what is pending, otherwise something to read.
    pub(super) fn waits_for(&self) -> Option<(&End, PollFlags)> {
        match (&self.from, &self.to) {
            (_, Some(to)) if !self.pending.is_empty() => Some((to, PollFlags::OUT)),
            (Some(from), Some(_)) => Some((from, PollFlags::IN)),
            _ => None,
        }
    }

    /// Moves what can be moved, and returns the end that has failed.
    pub(super) fn turn(&mut self, buffer: &mut [u8]) -> Option<Broken> {
        if self.pending.is_empty()
            && let Some(from) = &self.from
        {
            match from.read(buffer) {
                Got::Bytes(length) => self.pending.extend_from_slice(&buffer[..length]),
                Got::Nothing => return None,
                Got::End => self.from = None,
                Got::Broken => {
                    self.from = None;
                    return Some(Broken::From);
                }
            }
        }
        self.write()
    }

    fn write(&mut self) -> Option<Broken> {
        while let (Some(to), false) = (&self.to, self.pending.is_empty()) {
            match to.write(&self.pending) {
                Ok(length) => {
                    self.written += length as u64;
                    drop(self.pending.drain(..length));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                Err(_) => {
                    self.leave();
                    return Some(Broken::To);
                }
            }
        }
        None
    }

    /// Passes the end on in the direction of the flow.
    pub(super) fn finish(&mut self) {
        self.from = None;
        if let Some(to) = self.to.take() {
            to.finish();
        }
    }

    /// Closes both ends without passing an end on.
    pub(super) fn leave(&mut self) {
        (self.from, self.to) = (None, None);
        self.pending.clear();
    }
}
