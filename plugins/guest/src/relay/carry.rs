//! One connection: a client in the bottle, and what it is joined to.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::entrance::Opening;
use super::flow::Flow;
use crate::connect;

/// A client and its server.
pub(super) struct Connection {
    client: OwnedFd,
    server: OwnedFd,
    upward: Flow,
    downward: Flow,
    /// The beginning of the guard's answer, while that is waited for.
    answer: Option<Vec<u8>>,
}

impl Connection {
    /// Joins both; for a tunnel, once the guard has opened it.
    pub(super) fn new(client: OwnedFd, server: OwnedFd, opening: &Opening) -> Self {
        let (words, answer) = match opening {
            Opening::Plain => (String::new(), None),
            Opening::Tunnel(place) => (connect::request(place), Some(Vec::new())),
            Opening::Caught(place) => (format!("CATCH {place} HTTP/1.1\r\n\r\n"), None),
        };
        Self { client, server, upward: Flow::with(words.into_bytes()), downward: Flow::default(), answer }
    }

    /// Returns `true` if nothing will be carried any more.
    pub(super) fn is_over(&self) -> bool {
        self.upward.is_over() && self.downward.is_over()
    }

    /// Returns the sockets that are waited for, and for what.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = (&OwnedFd, PollFlags)> {
        let asking = self.answer.is_some();
        let upward = (!asking || !self.upward.is_written())
            .then(|| self.upward.waits_for(&self.client, &self.server))
            .flatten();
        let downward = self.downward.waits_for(&self.server, &self.client);
        upward.into_iter().chain(downward)
    }

    /// Does what can be done without waiting.
    pub(super) fn turn(&mut self, buffer: &mut [u8]) {
        if self.answer.is_some() {
            self.upward.write(&self.server);
            self.hear(buffer);
            return;
        }
        if !self.upward.is_over() {
            self.upward.turn(&self.client, &self.server, buffer);
        }
        if !self.downward.is_over() {
            self.downward.turn(&self.server, &self.client, buffer);
        }
    }

    /// Reads the guard's answer. What follows it is the client's; after a refusal the connection ends.
    fn hear(&mut self, buffer: &mut [u8]) {
        let Some(answer) = &mut self.answer else { return };
        match rustix::io::read(&self.server, &mut *buffer) {
            Ok(length) if length > 0 => answer.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => return,
            _ => return self.end(),
        }
        let Some(length) = connect::head_length(answer) else {
            if answer.len() >= connect::MAX_HEAD {
                self.end();
            }
            return;
        };
        if connect::is_established(&answer[..length]) {
            self.downward = Flow::with(answer.split_off(length));
            self.answer = None;
            self.downward.write(&self.client);
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        (self.upward, self.downward, self.answer) = (Flow::over(), Flow::over(), None);
    }
}
