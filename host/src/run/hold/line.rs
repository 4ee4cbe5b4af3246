//! One connection of a holder's: nothing that its other end does or leaves undone makes the holder wait.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::frames::{Frame, Inbox};

/// Above this many bytes on their way to a client, the program that makes them waits.
const ENOUGH: usize = 256 * 1024;

/// A connection.
pub(super) struct Line {
    stream: UnixStream,
    inbox: Inbox,
    outbox: Vec<u8>,
}

impl Line {
    pub(super) fn new(stream: UnixStream, inbox: Inbox) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, inbox, outbox: Vec::new() })
    }

    /// Reads what came; `None` when the other end is gone or makes no sense.
    pub(super) fn read(&mut self) -> Option<Vec<Frame>> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => self.inbox.push(&bytes[..count]),
            Err(error) if is_for_later(&error) => {}
            Err(_) => return None,
        }
        let mut frames = Vec::new();
        while let Some(frame) = self.inbox.take().ok()? {
            frames.push(frame);
        }
        Some(frames)
    }

    /// Puts a frame on its way; returns `false` if the other end is gone.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        self.outbox.extend_from_slice(frame);
        self.flush()
    }

    /// Writes as much as the other end takes; returns `false` if it is gone.
    pub(super) fn flush(&mut self) -> bool {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count @ 1..) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => break,
                _ => return false,
            }
        }
        true
    }

    /// Writes the rest, waiting for a while; for the last words of a session.
    pub(super) fn finish(mut self) {
        let patience = Some(std::time::Duration::from_secs(5));
        let ready = self.stream.set_nonblocking(false).and_then(|()| self.stream.set_write_timeout(patience));
        if let Err(error) = ready.and_then(|()| self.stream.write_all(&self.outbox)) {
            tracing::debug!(%error, "the last words to a client");
        }
    }

    /// Returns `true` if something is on its way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Returns `true` if it takes more.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.len() < ENOUGH
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
