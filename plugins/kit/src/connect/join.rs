//! A connection: both directions, until each has ended by itself.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::flow::{BUFFER, Broken, Flow};
use super::words::Words;

/// What a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Both directions have ended.
    Ended,
    /// The host's side is gone.
    ClientLeft,
    /// The server's side broke off.
    Cut,
    /// The call was cancelled.
    Cancelled,
}

/// A connection that is carried.
pub(super) struct Join {
    /// From the host's side to the server.
    pub(super) up: Flow,
    pub(super) down: Flow,
    /// What the program in the bottle says, if one carries: the end of `down` is then what it says, and no end of a pipe.
    pub(super) words: Option<Words>,
}

/// What can be done.
#[derive(Default)]
struct Ready {
    up: bool,
    down: bool,
    words: bool,
    cancelled: bool,
}

impl Join {
    /// Carries to the end.
    pub(super) fn run(mut self, cancel: Option<&OwnedFd>) -> (Outcome, Words) {
        let mut buffer = vec![0; BUFFER];
        let outcome = loop {
            let ready = match self.wait(cancel) {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(_) => break Outcome::Cut,
            };
            if ready.cancelled {
                break Outcome::Cancelled;
            }
            if let Some(outcome) = self.turn(&ready, &mut buffer) {
                break outcome;
            }
        };
        (outcome, self.words.unwrap_or_default())
    }

    fn wait(&self, cancel: Option<&OwnedFd>) -> rustix::io::Result<Ready> {
        let source = self.words.as_ref().and_then(Words::source).map(|end| (end.as_fd(), PollFlags::IN));
        let waited = [
            cancel.map(|fd| (fd.as_fd(), PollFlags::IN)),
            source,
            self.up.waits_for().map(|(end, flags)| (end.as_fd(), flags)),
            self.down.waits_for().map(|(end, flags)| (end.as_fd(), flags)),
        ];
        let mut fds: Vec<_> =
            waited.iter().flatten().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        poll(&mut fds, None)?;
        let mut found = fds.iter().map(|fd| !fd.revents().is_empty());
        let [cancelled, words, up, down] =
            waited.each_ref().map(|waited| waited.is_some() && found.next().unwrap_or(false));
        Ok(Ready { up, down, words, cancelled })
    }

    /// Does what can be done, and returns what it came to at the end.
    fn turn(&mut self, ready: &Ready, buffer: &mut [u8]) -> Option<Outcome> {
        if let (true, Some(words)) = (ready.words, &mut self.words) {
            words.listen(buffer);
        }
        if ready.up {
            match self.up.turn(buffer) {
                Some(Broken::From) => return Some(Outcome::ClientLeft),
                // The server reads no more; what it sends still comes.
                Some(Broken::To) | None => {}
            }
            if self.up.is_drained() {
                self.up.finish();
            }
        }
        if ready.down {
            match self.down.turn(buffer) {
                Some(Broken::To) => return Some(Outcome::ClientLeft),
                Some(Broken::From) if self.words.is_none() => return Some(Outcome::Cut),
                Some(Broken::From) | None => {}
            }
        }
        self.end()
    }

    /// Passes the server's end on once it is due, and returns what the connection came to at its own.
    fn end(&mut self) -> Option<Outcome> {
        let Some(words) = &self.words else {
            if self.down.is_drained() {
                self.down.finish();
            }
            return (self.up.is_over() && self.down.is_over()).then_some(Outcome::Ended);
        };
        if words.ended.is_some_and(|count| self.down.written() >= count) {
            self.down.finish();
        }
        let is_program_over = words.source().is_none();
        match (is_program_over, self.down.is_over(), self.down.is_drained()) {
            (true, true, _) => Some(Outcome::Ended),
            (true, false, true) => Some(Outcome::Cut),
            _ => None,
        }
    }
}
