//! A program that runs for a call: what it is started by is what starts programs in other bottles, and its streams are frames.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::Builder;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};

use super::frame::{Frame, Kind, PIECE};
use super::server::Channel;
use super::verbs::Outcome;
use crate::exec;
use crate::protocol::{Exec, Reply, Request, Setup, receive, send};
use crate::reaper::Reaper;

const STACK: usize = 64 * 1024;

/// How much a pipe that is ready takes without blocking, `PIPE_BUF`.
const CHUNK: usize = 4096;

/// How long output is looked for once the program has ended. A terminal's last output comes by a worker of the kernel.
const LINGER: [Timespec; 2] =
    [Timespec { tv_sec: 0, tv_nsec: 0 }, Timespec { tv_sec: 0, tv_nsec: 50_000_000 }];

/// A program, and what joins it to its call.
struct Program<'a> {
    channel: &'a Arc<Channel>,
    /// Where its start, stops and end are told, and signals are taken.
    control: UnixStream,
    outputs: Vec<(Kind, OwnedFd)>,
    input: Option<OwnedFd>,
    /// Input that it has not read.
    pending: VecDeque<u8>,
    input_ends: bool,
    terminal: Option<OwnedFd>,
    /// Its exit code, once it has ended.
    code: Option<i32>,
}

/// What can be done.
#[derive(Default)]
struct Round {
    is_quiet: bool,
    has_reply: bool,
    is_woken: bool,
    takes_input: bool,
    outputs: Vec<usize>,
}

/// Runs it to its end. When the call is closed before, it is killed.
pub(super) fn run(
    reaper: &Reaper,
    setup: &Setup,
    exec: Exec,
    channel: &Arc<Channel>,
) -> Result<Outcome, String> {
    let started = std::thread::scope(|scope| {
        let (control, theirs) = UnixStream::pair()?;
        let mut program = Program::new(channel, control);
        let (fds, ends) = if exec.terminal.is_some() { (Vec::new(), None) } else { pipes()? };
        let lead = move || {
            if let Err(error) = exec::run(reaper, setup, &exec, fds, &theirs) {
                send(&theirs, &Reply::Failed(error.chain()), &[]).ok();
            }
        };
        Builder::new().stack_size(STACK).spawn_scoped(scope, lead)?;
        let ended = program.start(ends).and_then(|()| program.stay());
        // What leads the program sees it, and kills what is left.
        program.control.shutdown(std::net::Shutdown::Both).ok();
        ended
    });
    match started {
        Ok(code) => Ok(Outcome::Ended { code }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Missing),
        Err(error) => Err(error.to_string()),
    }
}

/// Our ends of a program's streams: where its input goes, and its outputs.
type Ends = (OwnedFd, OwnedFd, OwnedFd);

fn pipes() -> io::Result<(Vec<OwnedFd>, Option<Ends>)> {
    let ((stdin, feed), (out, stdout), (err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
    Ok((vec![stdin.into(), stdout.into(), stderr.into()], Some((feed.into(), out.into(), err.into()))))
}

impl<'a> Program<'a> {
    fn new(channel: &'a Arc<Channel>, control: UnixStream) -> Self {
        Self {
            channel,
            control,
            outputs: Vec::new(),
            input: None,
            pending: VecDeque::new(),
            input_ends: false,
            terminal: None,
            code: None,
        }
    }

    /// Waits until it runs.
    fn start(&mut self, ends: Option<Ends>) -> io::Result<()> {
        let missing = || io::Error::other("it has no terminal");
        match receive::<Reply>(&self.control)? {
            Some((Reply::Started, mut fds)) => {
                let (input, outputs) = match ends {
                    Some((feed, out, err)) => (feed, vec![(Kind::Out, out), (Kind::Err, err)]),
                    None => {
                        let controller = fds.pop().ok_or_else(missing)?;
                        self.terminal = Some(controller.try_clone()?);
                        (controller.try_clone()?, vec![(Kind::Out, controller)])
                    }
                };
                unblock(&input)?;
                outputs.iter().try_for_each(|(_, output)| unblock(output))?;
                (self.input, self.outputs) = (Some(input), outputs);
                Ok(())
            }
            Some((Reply::Missing, _)) => Err(io::ErrorKind::NotFound.into()),
            Some((Reply::Failed(text), _)) => Err(io::Error::other(text)),
            _ => Err(io::Error::other("it did not start")),
        }
    }

    /// Carries until it has ended, and returns its exit code.
    fn stay(&mut self) -> io::Result<i32> {
        loop {
            let linger = self.code.map(|_| LINGER[usize::from(self.terminal.is_some())]);
            // Output that nobody takes waits, however long.
            let waits_for_room = !self.outputs.is_empty() && !self.channel.has_room();
            let round = self.wait(linger.filter(|_| !waits_for_room).as_ref())?;
            if round.is_woken {
                self.channel.clear_wake();
                self.hear();
            }
            if self.channel.is_closed() {
                return Err(io::Error::other("it was given up"));
            }
            round.outputs.iter().rev().for_each(|index| self.carry_out(*index));
            if round.takes_input {
                self.carry_in();
            }
            if round.has_reply {
                match receive::<Reply>(&self.control)? {
                    Some((Reply::Stopped, _)) => self.channel.send_now(Kind::Stopped, Vec::new())?,
                    Some((Reply::Ended(ended), _)) => self.code = Some(ended),
                    _ => return Err(io::Error::other("what leads it is gone")),
                }
            }
            if let (Some(code), true) = (self.code, round.is_quiet || self.outputs.is_empty()) {
                return Ok(code);
            }
            self.end_input();
        }
    }

    fn wait(&self, patience: Option<&Timespec>) -> io::Result<Round> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.channel.wake(), PollFlags::IN)];
        // After its end there is nothing more to hear.
        let control = self.code.is_none().then(|| add(&mut fds, &self.control, PollFlags::IN));
        let input = self.input.as_ref().filter(|_| !self.pending.is_empty());
        let input = input.map(|input| add(&mut fds, input, PollFlags::OUT));
        let outputs: &[_] = if self.channel.has_room() { &self.outputs } else { &[] };
        let outputs: Vec<_> =
            outputs.iter().map(|(_, output)| add(&mut fds, output, PollFlags::IN)).collect();
        let found = match poll(&mut fds, patience) {
            Err(Errno::INTR) => return Ok(Round::default()),
            found => found?,
        };
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Round {
            is_quiet: found == 0,
            is_woken: is_ready(0),
            has_reply: control.is_some_and(is_ready),
            takes_input: input.is_some_and(is_ready),
            outputs: (0..outputs.len()).filter(|index| is_ready(outputs[*index])).collect(),
        })
    }

    /// Takes what the host has said.
    fn hear(&mut self) {
        for frame in self.channel.urgent() {
            self.obey(&frame);
        }
        while self.pending.is_empty()
            && let Some(frame) = self.channel.take()
        {
            match frame.kind {
                Kind::Input if self.input.is_some() => self.pending.extend(frame.payload.iter()),
                Kind::End => self.input_ends = true,
                // It came after the look at what is urgent.
                _ => self.obey(&frame),
            }
        }
    }

    fn obey(&self, frame: &Frame) {
        match (frame.kind, frame.payload.as_slice(), &self.terminal) {
            (Kind::Resize, [a, b, c, d], Some(terminal)) => {
                let (ws_col, ws_row) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                // A size that the terminal does not take changes nothing.
                tcsetwinsize(terminal, Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 }).ok();
            }
            (Kind::Signal, [a, b, c, d], _) => {
                let number = i32::from_be_bytes([*a, *b, *c, *d]);
                if let Some(signal) = Signal::from_named_raw(number) {
                    send(&self.control, &Request::Signal(signal.as_raw()), &[]).ok();
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, index: usize) {
        let Some((kind, output)) = self.outputs.get(index) else { return };
        let mut buffer = vec![0; PIECE];
        match rustix::io::read(output, &mut buffer) {
            Ok(length) if length > 0 => {
                buffer.truncate(length);
                self.channel.send_now(*kind, buffer).ok();
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The end; a terminal says it with EIO.
            _ => drop(self.outputs.remove(index)),
        }
    }

    fn carry_in(&mut self) {
        let Some(input) = &self.input else { return };
        let (front, _) = self.pending.as_slices();
        match rustix::io::write(input, &front[..front.len().min(CHUNK)]) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // It reads no more.
            Err(_) => {
                self.input = None;
                self.pending.clear();
            }
        }
        if self.pending.is_empty() {
            self.hear();
        }
    }

    /// Ends its input once it has read all. A terminal has no end: what is typed there says it.
    fn end_input(&mut self) {
        if self.code.is_some() || self.input_ends && self.pending.is_empty() && self.terminal.is_none() {
            self.input = None;
            self.pending.clear();
        }
    }
}

/// Adds a descriptor to those that are waited for, and returns its index.
fn add<'f>(fds: &mut Vec<PollFd<'f>>, fd: &'f impl AsFd, flags: PollFlags) -> usize {
    fds.push(PollFd::new(fd, flags));
    fds.len() - 1
}

fn unblock(fd: &impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}
