//! One call, as the host has it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::Shared;
use crate::pod::channel::Channel;
use crate::pod::frame::{Frame, Kind, PIECE};
use crate::pod::verbs::Outcome;

/// What the Pod says in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// More of the output.
    Out(Vec<u8>),
    /// More of standard error.
    Err(Vec<u8>),
    /// The program has stopped.
    Stopped,
    /// How it ended.
    Result(Outcome),
}

/// A call. One that is dropped is ended on the other side, unless it was left ([`Call::leave`]).
pub struct Call {
    channel: Arc<Channel>,
    shared: Arc<Shared>,
    is_left: bool,
}

impl Call {
    pub(super) fn new(channel: Arc<Channel>, shared: Arc<Shared>) -> Self {
        Self { channel, shared, is_left: false }
    }

    /// Returns the number by which another process may take it over.
    pub fn id(&self) -> u64 {
        self.channel.id
    }

    /// Returns what is readable when something came or there is room again; [`Call::clear_wake`] makes it unreadable.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.channel.wake()
    }

    /// See [`Call::wake`]. Look at what came after this, not before.
    pub fn clear_wake(&self) {
        self.channel.clear_wake();
    }

    /// Returns `true` if [`Call::send`] does not wait.
    pub fn has_room(&self) -> bool {
        self.channel.has_room()
    }

    /// Returns `true` if it takes no more input: the other side has said how it ended, or is gone.
    pub fn has_ended(&self) -> bool {
        self.channel.is_deaf() || self.channel.is_closed()
    }

    /// Sends input, once there is room for it.
    ///
    /// # Errors
    /// Fails when the call is over.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PIECE).try_for_each(|piece| self.channel.send(Kind::Input, piece.to_vec()))
    }

    /// Says that there is no more input.
    ///
    /// # Errors
    /// Fails when the call is over.
    pub fn end(&self) -> io::Result<()> {
        self.channel.send_now(Kind::End, Vec::new())
    }

    /// Says the terminal's size.
    ///
    /// # Errors
    /// Fails when the call is over.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        self.channel.send_now(Kind::Resize, [columns.to_be_bytes(), rows.to_be_bytes()].concat())
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    /// Fails when the call is over.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        self.channel.send_now(Kind::Signal, number.to_be_bytes().to_vec())
    }

    /// Returns what was said next, if anything was.
    ///
    /// # Errors
    /// Fails when the call has ended without saying how: the Pod is gone.
    pub fn heard(&self) -> io::Result<Option<Said>> {
        // Looked at first: what came before its end counts.
        let is_closed = self.channel.is_closed();
        match self.channel.take() {
            Some(frame) => said(&frame).map(Some),
            None if is_closed => Err(gone()),
            None => Ok(None),
        }
    }

    /// Waits for what is said next.
    ///
    /// # Errors
    /// Fails when the call has ended without saying how: the Pod is gone.
    pub fn next(&self) -> io::Result<Said> {
        said(&self.channel.next().ok_or_else(gone)?)
    }

    /// Waits for how it ended, whatever is said before.
    ///
    /// # Errors
    /// As [`Call::next`].
    pub fn outcome(&self) -> io::Result<Outcome> {
        loop {
            if let Said::Result(outcome) = self.next()? {
                return Ok(outcome);
            }
        }
    }

    /// Lets it go on without this process.
    pub fn leave(mut self) -> u64 {
        self.is_left = true;
        self.channel.id
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_left {
            self.shared.close(self.channel.id);
        }
    }
}

fn said(frame: &Frame) -> io::Result<Said> {
    Ok(match frame.kind {
        Kind::Out => Said::Out(frame.payload.to_vec()),
        Kind::Err => Said::Err(frame.payload.to_vec()),
        Kind::Stopped => Said::Stopped,
        _ => Said::Result(serde_json::from_slice(&frame.payload)?),
    })
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the bottle is gone")
}
