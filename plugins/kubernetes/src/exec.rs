//! exec: a program in the bottle, and this process's streams joined to its.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use bottle_guest::pod::client::{Call as Channel, Said};
use bottle_guest::pod::verbs::{LINGER, Outcome, Side, Verb};
use bottle_guest::protocol::Exec;
use claude_bottle_kit::poll::timespec;
use claude_bottle_kit::{closed, limits};
use claude_bottle_plugin_api::{
    Bottle, Call, ErrorExt, ExecIo, ExecRequest, ExecRole, ExitStatus, Failure, FailureKind, Result,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::tcgetwinsize;

use crate::backend::Kubernetes;
use crate::cluster::Cluster;
use crate::door::Door;
use crate::error::KubernetesError;
use crate::plan::Record;
use crate::reason;

/// The size of a terminal of unknown size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// How much is read at once.
const CHUNK: usize = 32 * 1024;

/// What a pipe that is ready takes without blocking.
const PIPE_BUF: usize = 4096;

/// The exit code of a program that is not there, as in a shell.
const NOT_FOUND: i32 = 127;

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// Runs a program and waits for its end.
pub(crate) fn exec(
    backend: &Kubernetes,
    call: &Call,
    bottle: &Bottle,
    request: &ExecRequest,
) -> Result<ExitStatus> {
    call.check()?;
    let record = Record::of(bottle)?;
    let io = request.io()?;
    let command = request.command_line();
    let Some(program) = command.first().cloned() else {
        return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
    };
    let term = request.term.as_deref().filter(|_| request.tty);
    let term = term.map(|term| ("TERM".to_owned(), term.to_owned()));
    let exec = Exec {
        command,
        env: request.env.clone().into_iter().chain(term).collect(),
        directory: record.directory.clone(),
        terminal: request.tty.then(|| io.terminal_size().unwrap_or(USUAL_SIZE)),
    };
    let door = backend.door(&record)?;
    let channel = door.call(Side::Bottle, &Verb::Exec { exec, linger: LINGER })?;
    let mut session = Session {
        call,
        door: &door,
        channel: &channel,
        io,
        program,
        is_terminal: request.tty,
        is_agent: request.role == ExecRole::Agent,
        has_input: true,
        out: Pending::default(),
        err: Pending::default(),
    };
    match session.run() {
        Ok(code) => Ok(ExitStatus::code(code)),
        Err(failure) if failure.kind == FailureKind::Cancelled => Err(failure),
        // A bottle that the cluster has ended says so itself.
        Err(failure) => explained(backend, &record, failure),
    }
}

/// Says why a bottle is gone, as far as the cluster knows it.
fn explained(backend: &Kubernetes, record: &Record, failure: Failure) -> Result<ExitStatus> {
    let found = backend.run(async {
        let cluster = Cluster::of(&record.place).await?;
        cluster.look(&record.name).await
    });
    let Ok(Some(pod)) = found else { return Err(failure) };
    if reason::was_out_of_memory(&pod) {
        let mut status = ExitStatus::code(137);
        let memory = Some(limits::amount(record.memory_bytes));
        status.limit = Some(limits::reached(&record.bottle, "memory", memory, "memory"));
        return Ok(status);
    }
    match reason::end(&pod) {
        Some(why) => Err(failure.context(format!("the Pod `{}` has ended: {why}", record.name))),
        None => Err(failure),
    }
}

/// A program that runs.
struct Session<'a> {
    call: &'a Call,
    door: &'a Door,
    channel: &'a Channel,
    io: ExecIo,
    program: String,
    is_terminal: bool,
    is_agent: bool,
    /// Whether the program may get more to read.
    has_input: bool,
    /// What is not written yet.
    out: Pending,
    err: Pending,
}

/// Output on its way to a descriptor.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    written: usize,
    /// Whether the reader has left.
    is_closed: bool,
}

/// What a round of waiting found, in the order in which it was waited for.
#[derive(Default)]
struct Round {
    is_cancelled: bool,
    is_resized: bool,
    has_input: bool,
    takes_out: bool,
    takes_err: bool,
}

impl Session<'_> {
    /// Stays until the program ends, and returns its exit code.
    fn run(&mut self) -> Result<i32> {
        let cancel = self.call.cancel_fd();
        let mut deadline: Option<Instant> = None;
        loop {
            if let Some(code) = self.hear()? {
                return if deadline.is_some() { Err(Failure::cancelled()) } else { Ok(code) };
            }
            // A cancelled call stays readable, and is looked at once.
            let round = self.wait(cancel.as_ref().filter(|_| deadline.is_none()), deadline)?;
            self.turn(&round);
            if round.is_cancelled {
                let signal = if self.is_terminal { Signal::HUP } else { Signal::TERM };
                self.channel.signal(signal.as_raw()).ok();
                deadline = Some(Instant::now() + GRACE);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                // The call is dropped with this, on which the program is killed.
                return Err(Failure::cancelled());
            }
        }
    }

    /// Takes what was said, but no more than was written; returns the exit code at the end.
    fn hear(&mut self) -> Result<Option<i32>> {
        while self.out.is_empty() && self.err.is_empty() {
            match self.channel.heard() {
                Ok(None) => return Ok(None),
                Ok(Some(Said::Out(bytes))) => self.out.add(bytes),
                Ok(Some(Said::Err(bytes))) => self.err.add(bytes),
                Ok(Some(Said::Stopped)) => {
                    self.call.suspend();
                    self.channel.signal(Signal::CONT.as_raw()).ok();
                }
                Ok(Some(Said::Result(Outcome::Ended { code }))) => return Ok(Some(code)),
                Ok(Some(Said::Result(Outcome::Missing))) if self.is_agent => {
                    return Err(KubernetesError::NoProgram { program: self.program.clone() }.into());
                }
                Ok(Some(Said::Result(Outcome::Missing))) => {
                    let said = format!("error: the program `{}` is not in this bottle\n", self.program);
                    // Its exit code says it too.
                    rustix::io::write(&self.io.stderr, said.as_bytes()).ok();
                    return Ok(Some(NOT_FOUND));
                }
                Ok(Some(Said::Result(Outcome::Failed { message }))) => return Err(self.door.said(&message)),
                Ok(Some(Said::Result(_))) => return Err(self.door.unexpected("exec")),
                Err(error) => {
                    tracing::debug!(%error, "a program's call is over");
                    return Err(closed(&self.program));
                }
            }
        }
        Ok(None)
    }

    fn wait(&self, cancel: Option<&OwnedFd>, deadline: Option<Instant>) -> Result<Round> {
        let has_input = self.has_input && self.channel.has_room();
        let io = &self.io;
        let wanted = [
            (Some(self.channel.wake()), PollFlags::IN),
            (cancel.map(AsFd::as_fd), PollFlags::IN),
            (io.resized.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (has_input.then(|| io.stdin.as_fd()), PollFlags::IN),
            ((!self.out.is_empty()).then(|| io.stdout.as_fd()), PollFlags::OUT),
            ((!self.err.is_empty()).then(|| io.stderr.as_fd()), PollFlags::OUT),
        ];
        let waiting = wanted.into_iter().enumerate();
        let (places, mut fds): (Vec<_>, Vec<_>) = waiting
            .filter_map(|(place, (fd, flags))| Some((place, PollFd::from_borrowed_fd(fd?, flags))))
            .unzip();
        let patience = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(&mut fds, patience.as_ref()) {
            Err(Errno::INTR) => return Ok(Round::default()),
            other => other.failure(FailureKind::Internal, || "cannot wait for the program")?,
        };
        let mut ready = [false; 6];
        places.iter().zip(&fds).for_each(|(place, fd)| ready[*place] = !fd.revents().is_empty());
        let [is_woken, is_cancelled, is_resized, has_input, takes_out, takes_err] = ready;
        if is_woken {
            self.channel.clear_wake();
        }
        Ok(Round { is_cancelled, is_resized, has_input, takes_out, takes_err })
    }

    /// Moves what can be moved without waiting.
    fn turn(&mut self, round: &Round) {
        if round.takes_out {
            self.out.write(&self.io.stdout);
        }
        if round.takes_err {
            self.err.write(&self.io.stderr);
        }
        if round.has_input {
            self.read();
        }
        if round.is_resized {
            self.resize();
        }
    }

    fn read(&mut self) {
        let mut buffer = vec![0; CHUNK];
        match rustix::io::read(&self.io.stdin, &mut buffer) {
            Ok(length) if length > 0 => self.has_input = self.channel.send(&buffer[..length]).is_ok(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The end; a terminal says it with EIO.
            _ => {
                self.has_input = false;
                self.channel.end().ok();
            }
        }
    }

    /// Gives the program's terminal the size of the user's.
    fn resize(&mut self) {
        let Some(resized) = &self.io.resized else { return };
        match rustix::io::read(resized, &mut [0; 64]) {
            Ok(1..) | Err(Errno::INTR | Errno::AGAIN) => {}
            // Nothing tells of sizes any more.
            _ => self.io.resized = None,
        }
        if let Ok(size) = tcgetwinsize(self.io.stdout.as_fd()) {
            self.channel.resize(size.ws_col, size.ws_row).ok();
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.bytes.len() == self.written
    }

    fn add(&mut self, bytes: Vec<u8>) {
        if !self.is_closed {
            (self.bytes, self.written) = (bytes, 0);
        }
    }

    /// Writes what a descriptor that is ready takes.
    fn write(&mut self, to: &OwnedFd) {
        let rest = &self.bytes[self.written..];
        match rustix::io::write(to, &rest[..rest.len().min(PIPE_BUF)]) {
            Ok(length) => self.written += length,
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The reader has left: what is written from now on goes nowhere.
            Err(_) => (self.is_closed, self.written) = (true, self.bytes.len()),
        }
    }
}
