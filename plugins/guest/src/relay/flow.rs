//! One direction of a connection: bytes from one socket to another, without waiting for either.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

/// How much is read at once.
pub(super) const BUFFER: usize = 64 * 1024;

/// A direction.
#[derive(Default)]
pub(super) struct Flow {
    /// What was read and could not be written yet. Nothing is read meanwhile.
    pending: Vec<u8>,
    /// The end was read.
    ended: bool,
    /// All is written, or no more can be.
    over: bool,
}

impl Flow {
    /// Begins with bytes that were read elsewhere.
    pub(super) fn with(pending: Vec<u8>) -> Self {
        Self { pending, ..Self::default() }
    }

    /// Carries nothing.
    pub(super) fn over() -> Self {
        Self { over: true, ..Self::default() }
    }

    /// Returns `true` if nothing will be carried any more.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Returns `true` if all that was read is written.
    pub(super) fn is_written(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns which of the two sockets it waits for, and for what. A socket that is not waited for is not polled: it would
    /// be ready for ever once its other side is gone.
    pub(super) fn waits_for<'a>(
        &self,
        from: &'a OwnedFd,
        to: &'a OwnedFd,
    ) -> Option<(&'a OwnedFd, PollFlags)> {
        match (self.over, self.pending.is_empty()) {
            (true, _) => None,
            (false, true) => Some((from, PollFlags::IN)),
            (false, false) => Some((to, PollFlags::OUT)),
        }
    }

    /// Moves what can be moved.
    pub(super) fn turn(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) {
        if self.pending.is_empty() && !self.ended {
            match rustix::io::read(from, &mut *buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => self.ended = true,
            }
        }
        self.write(to);
        if self.ended && self.pending.is_empty() && !self.over {
            self.over = true;
            // The other side may be gone already.
            shutdown(to, Shutdown::Write).ok();
        }
    }

    /// Writes what is pending.
    pub(super) fn write(&mut self, to: &OwnedFd) {
        while !self.pending.is_empty() {
            match send(to, &self.pending, SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.pending.clear();
                    self.over = true;
                }
            }
        }
        if self.pending.capacity() > BUFFER {
            self.pending = Vec::new();
        }
    }
}
