//! Questions over TCP: each behind its length, from clients that may be slow, silent or many.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::message::MAX_MESSAGE;

/// The most clients at once; the one that came first goes for the next.
pub(super) const MAX_CLIENTS: usize = 32;

/// One client and what it has sent so far.
pub(super) struct Client {
    stream: OwnedFd,
    received: Vec<u8>,
    pub(super) is_over: bool,
}

impl Client {
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self { stream, received: Vec::new(), is_over: false }
    }

    /// Returns what is waited for.
    pub(super) fn waits_for(&self) -> (&OwnedFd, PollFlags) {
        (&self.stream, PollFlags::IN)
    }

    /// Reads what is there and answers each whole question. What is too long, or what the client does not take at once, is
    /// the end.
    pub(super) fn turn(&mut self, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
        let mut piece = [0; 2 + MAX_MESSAGE];
        match rustix::io::read(&self.stream, &mut piece) {
            Ok(length) if length > 0 => self.received.extend_from_slice(&piece[..length]),
            Err(Errno::AGAIN | Errno::INTR) => return,
            _ => return self.is_over = true,
        }
        while let Some((message, rest)) = split(&self.received) {
            let answered = answer(message).is_some_and(|answer| self.write(&answer));
            self.received = rest.to_vec();
            if !answered {
                return self.is_over = true;
            }
        }
        self.is_over = declared(&self.received).is_some_and(|length| length > MAX_MESSAGE);
    }

    fn write(&self, answer: &[u8]) -> bool {
        let Ok(length) = u16::try_from(answer.len()) else { return false };
        let whole = [&length.to_be_bytes(), answer].concat();
        send(&self.stream, &whole, SendFlags::NOSIGNAL) == Ok(whole.len())
    }
}

/// Returns how long the next message says that it is.
fn declared(received: &[u8]) -> Option<usize> {
    received.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)))
}

/// Returns the next message once it is whole, and what follows it.
fn split(received: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = declared(received).filter(|length| *length <= MAX_MESSAGE)?;
    received[2..].split_at_checked(length)
}
