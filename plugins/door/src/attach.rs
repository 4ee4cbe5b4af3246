//! Joins this process's streams to a program's, until the program ends.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bottle_guest::protocol::{self, Reply, Request};
use claude_bottle_kit::closed;
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use claude_bottle_kit::poll::timespec;

/// How much is carried at once: what a pipe that is ready takes without blocking, `PIPE_BUF`.
const CHUNK: usize = 4096;

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// How long a terminal is listened to after its program has ended: the kernel hands the last output over by a worker.
const LINGER: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Carries bytes one way.
pub(crate) struct Pump {
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    pending: Vec<u8>,
    is_input: bool,
}

/// A program that runs, and what it is joined to.
pub(crate) struct Session {
    pub(crate) stream: UnixStream,
    /// The program's name, for messages.
    pub(crate) program: String,
    pub(crate) pumps: Vec<Pump>,
    pub(crate) resized: Option<OwnedFd>,
    pub(crate) is_terminal: bool,
}

impl Pump {
    /// Carries from the user to the program.
    pub(crate) fn input(from: OwnedFd, to: OwnedFd) -> Self {
        Self { from: Some(from), to: Some(to), pending: Vec::new(), is_input: true }
    }

    /// Carries from the program to the user.
    pub(crate) fn output(from: OwnedFd, to: OwnedFd) -> Self {
        Self { is_input: false, ..Self::input(from, to) }
    }

    /// Returns what it waits for: room for what is pending, otherwise something to read.
    fn waits_for(&self) -> Option<(&OwnedFd, PollFlags)> {
        match (&self.from, &self.to) {
            (_, Some(to)) if !self.pending.is_empty() => Some((to, PollFlags::OUT)),
            (Some(from), Some(_)) => Some((from, PollFlags::IN)),
            _ => None,
        }
    }

    /// Moves what can be moved without waiting.
    fn turn(&mut self) {
        if self.pending.is_empty() { self.read() } else { self.write() }
    }

    fn read(&mut self) {
        let Some(from) = &self.from else { return };
        let mut buffer = [0; CHUNK];
        match rustix::io::read(from, &mut buffer) {
            Ok(length) if length > 0 => self.pending.extend_from_slice(&buffer[..length]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The end; a terminal says it with EIO.
            _ => {
                self.from = None;
                self.to = None;
            }
        }
    }

    fn write(&mut self) {
        let Some(to) = &self.to else { return };
        match rustix::io::write(to, &self.pending[..self.pending.len().min(CHUNK)]) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody reads any more: a program that goes on writing is told so by its own pipe.
            Err(_) => {
                self.from = None;
                self.to = None;
                self.pending.clear();
            }
        }
    }
}

/// What a round of waiting found.
#[derive(Default)]
struct Round {
    pumps: Vec<usize>,
    is_cancelled: bool,
    has_reply: bool,
    is_resized: bool,
    is_quiet: bool,
}

/// Stays until the program ends, and returns its exit code. When the call is cancelled the program is asked to end, and then not asked.
pub(crate) fn run(call: &Call, mut session: Session) -> Result<i32> {
    let cancel = call.cancel_fd();
    let mut deadline: Option<Instant> = None;
    let mut is_killed = false;
    loop {
        let patience = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        // A cancelled call stays readable, and is looked at once.
        let cancel = cancel.as_ref().filter(|_| deadline.is_none());
        let round = session.wait(cancel, patience.as_ref())?;
        if round.is_resized {
            session.resize();
        }
        round.pumps.iter().for_each(|index| session.pumps[*index].turn());
        if round.has_reply {
            match session.heard()? {
                Reply::Stopped => session.suspend(call)?,
                Reply::Ended(code) => return session.end(code, deadline.is_some()),
                _ => return Err(closed(&session.program)),
            }
        }
        if round.is_cancelled {
            let signal = if session.is_terminal { Signal::HUP } else { Signal::TERM };
            session.send(signal);
            deadline = Some(Instant::now() + GRACE);
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            if is_killed {
                // The stream closes with the session, on which process 1 kills what is left.
                return Err(Failure::cancelled());
            }
            is_killed = true;
            session.send(Signal::KILL);
            deadline = Some(Instant::now() + GRACE);
        }
    }
}

impl Session {
    fn wait(&self, cancel: Option<&OwnedFd>, patience: Option<&Timespec>) -> Result<Round> {
        let mut fds = vec![PollFd::new(&self.stream, PollFlags::IN)];
        fds.extend(cancel.map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(self.resized.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let first_pump = fds.len();
        let waiting = self.pumps.iter().enumerate();
        let waiting: Vec<_> = waiting.filter_map(|(index, pump)| Some((index, pump.waits_for()?))).collect();
        fds.extend(waiting.iter().map(|(_, (fd, flags))| PollFd::new(*fd, *flags)));
        let found = match poll(&mut fds, patience) {
            Err(Errno::INTR) => return Ok(Round::default()),
            other => other.failure(FailureKind::Internal, || "cannot wait for the program")?,
        };
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let ready = waiting.iter().enumerate().filter(|(place, _)| is_ready(first_pump + place));
        Ok(Round {
            pumps: ready.map(|(_, (index, _))| *index).collect(),
            has_reply: is_ready(0),
            is_cancelled: cancel.is_some() && is_ready(1),
            is_resized: self.resized.is_some() && is_ready(first_pump - 1),
            is_quiet: found == 0,
        })
    }

    /// Gives the program's terminal the size of the user's.
    fn resize(&mut self) {
        if let Some(resized) = &self.resized
            && !matches!(rustix::io::read(resized, &mut [0; 64]), Ok(1..) | Err(Errno::INTR | Errno::AGAIN))
        {
            // Nobody tells of sizes any more.
            self.resized = None;
        }
        for pump in self.pumps.iter().filter(|pump| !pump.is_input) {
            if let (Some(program), Some(user)) = (&pump.from, &pump.to)
                && let Ok(size) = tcgetwinsize(user.as_fd())
            {
                tcsetwinsize(program, size).ok();
            }
        }
    }

    /// Sends the program a signal. A bottle that has ended is noticed when it is waited for.
    fn send(&self, signal: Signal) {
        protocol::send(&self.stream, &Request::Signal(signal.as_raw()), &[]).ok();
    }

    /// Reads what the bottle says of the program.
    fn heard(&self) -> Result<Reply> {
        match protocol::receive::<Reply>(&self.stream) {
            Ok(Some((reply, _))) => Ok(reply),
            _ => Err(closed(&self.program)),
        }
    }

    /// Suspends the host with a program that has stopped, and continues the program with the host.
    fn suspend(&mut self, call: &Call) -> Result<()> {
        self.drain()?;
        call.suspend();
        self.send(Signal::CONT);
        Ok(())
    }

    /// Takes what the program wrote last.
    fn end(&mut self, code: i32, is_cancelled: bool) -> Result<i32> {
        self.pumps.retain(|pump| !pump.is_input);
        self.drain()?;
        if is_cancelled { Err(Failure::cancelled()) } else { Ok(code) }
    }

    /// Shows what the program has written so far.
    fn drain(&mut self) -> Result<()> {
        let linger = if self.is_terminal { LINGER } else { Timespec { tv_sec: 0, tv_nsec: 0 } };
        loop {
            // What is pending is written however long that takes; only for more to read is there no waiting.
            let is_pending = self.pumps.iter().any(|pump| !pump.is_input && !pump.pending.is_empty());
            let round = self.wait_for_outputs(if is_pending { None } else { Some(&linger) })?;
            if round.is_quiet {
                return Ok(());
            }
            round.pumps.iter().for_each(|index| self.pumps[*index].turn());
        }
    }

    fn wait_for_outputs(&self, patience: Option<&Timespec>) -> Result<Round> {
        let waiting = self.pumps.iter().enumerate().filter(|(_, pump)| !pump.is_input);
        let waiting: Vec<_> = waiting.filter_map(|(index, pump)| Some((index, pump.waits_for()?))).collect();
        if waiting.is_empty() {
            return Ok(Round { is_quiet: true, ..Round::default() });
        }
        let mut fds: Vec<_> = waiting.iter().map(|(_, (fd, flags))| PollFd::new(*fd, *flags)).collect();
        let found = match poll(&mut fds, patience) {
            Err(Errno::INTR) => return Ok(Round::default()),
            other => other.failure(FailureKind::Internal, || "cannot wait for the program's output")?,
        };
        let ready = waiting.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        let pumps = ready.map(|((index, _), _)| *index).collect();
        Ok(Round { pumps, is_quiet: found == 0, ..Round::default() })
    }
}
