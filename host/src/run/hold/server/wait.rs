//! What a holder waits for, all at once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::super::line::Line;

/// The exit code of a program that a signal ended is this and the signal's number, as shells have it.
const BY_SIGNAL: i32 = 128;

/// What became of the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has stopped itself.
    Stopped,
    /// It has ended, with this code.
    Ended(i32),
}

/// What becomes of a program, told by a thread that waits for it.
pub(super) struct Changes(File);

/// Five bytes a change: its kind, and its code.
const LENGTH: usize = 5;

impl Changes {
    /// Begins to wait for a child of this process.
    pub(super) fn of(program: Pid) -> io::Result<Self> {
        let (readable, writable) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut writable = File::from(writable);
        std::thread::Builder::new().name("program".to_owned()).spawn(move || {
            loop {
                let change = next(program);
                let (kind, code) = match change {
                    Change::Stopped => (b'z', 0),
                    Change::Ended(code) => (b'e', code),
                };
                let mut bytes = [kind; LENGTH];
                bytes[1..].copy_from_slice(&code.to_be_bytes());
                if writable.write_all(&bytes).is_err() || kind == b'e' {
                    return;
                }
            }
        })?;
        Ok(Self(readable.into()))
    }

    /// Takes the next one, if there is one.
    pub(super) fn take(&mut self, is_ready: bool) -> io::Result<Option<Change>> {
        if !is_ready {
            return Ok(None);
        }
        let mut bytes = [0; LENGTH];
        self.0.read_exact(&mut bytes)?;
        let [kind, code @ ..] = bytes;
        Ok(Some(if kind == b'e' { Change::Ended(i32::from_be_bytes(code)) } else { Change::Stopped }))
    }
}

fn next(program: Pid) -> Change {
    loop {
        match waitpid(Some(program), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => return Change::Stopped,
            Ok(Some((_, status))) => {
                let by_signal = status.terminating_signal().map(|signal| BY_SIGNAL + signal);
                if let Some(code) = status.exit_status().or(by_signal) {
                    return Change::Ended(code);
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // It is no child of ours, which cannot be.
            Err(_) => return Change::Ended(BY_SIGNAL),
        }
    }
}

/// What is waited for.
pub(super) struct Watched<'a> {
    pub(super) terminal: Option<&'a OwnedFd>,
    pub(super) reads_terminal: bool,
    pub(super) writes_terminal: bool,
    pub(super) told: &'a OwnedFd,
    pub(super) changes: &'a Changes,
    pub(super) door: Option<&'a UnixListener>,
    pub(super) client: Option<&'a Line>,
    pub(super) reads_client: bool,
    pub(super) visitors: &'a [Line],
}

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// The terminal shows something, or was left.
    pub(super) shown: bool,
    /// The program has told something.
    pub(super) told: bool,
    /// Something became of the program.
    pub(super) changed: bool,
    /// Somebody is at the door.
    pub(super) door: bool,
    /// Of the client.
    pub(super) client: Ways,
    /// Of each visitor.
    pub(super) visitors: Vec<bool>,
}

/// Which ways are open.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ways {
    pub(super) reads: bool,
    pub(super) writes: bool,
}

impl Watched<'_> {
    /// Waits for one of them, or for a while.
    pub(super) fn wait(&self, most: Option<Duration>) -> io::Result<Ready> {
        let flags = |reads, writes| {
            let read = if reads { PollFlags::IN } else { PollFlags::empty() };
            let write = if writes { PollFlags::OUT } else { PollFlags::empty() };
            read | write
        };
        // What is asked for nothing is left out: poll tells of a hang-up all the same, again and again.
        let terminal = self.terminal.filter(|_| self.reads_terminal || self.writes_terminal);
        let terminal = terminal.map(|fd| (fd.as_fd(), flags(self.reads_terminal, self.writes_terminal)));
        let writes_client = self.client.is_some_and(Line::is_waiting);
        let client = self.client.filter(|_| self.reads_client || writes_client);
        let client = client.map(|line| (line.as_fd(), flags(self.reads_client, writes_client)));
        let door = self.door.map(|door| (door.as_fd(), PollFlags::IN));
        let fixed = [
            terminal,
            Some((self.told.as_fd(), PollFlags::IN)),
            Some((self.changes.0.as_fd(), PollFlags::IN)),
            door,
            client,
        ];
        let visitors = self.visitors.iter().map(|visitor| Some((visitor.as_fd(), PollFlags::IN)));
        let found = poll_all(&fixed.into_iter().chain(visitors).collect::<Vec<_>>(), most)?;
        let [terminal, told, changed, door, client] = [0, 1, 2, 3, 4].map(|at| found[at]);
        let is = |flags: PollFlags, wanted| flags.intersects(wanted | PollFlags::HUP | PollFlags::ERR);
        Ok(Ready {
            shown: self.reads_terminal && is(terminal, PollFlags::IN),
            told: told.contains(PollFlags::IN),
            changed: !changed.is_empty(),
            door: !door.is_empty(),
            client: Ways {
                reads: self.reads_client && is(client, PollFlags::IN),
                writes: client.contains(PollFlags::OUT),
            },
            visitors: found[5..].iter().map(|flags| !flags.is_empty()).collect(),
        })
    }
}

/// Polls those that are there; returns what came of each.
fn poll_all(
    wanted: &[Option<(BorrowedFd<'_>, PollFlags)>],
    most: Option<Duration>,
) -> io::Result<Vec<PollFlags>> {
    let mut polled: Vec<_> =
        wanted.iter().flatten().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let most = most.and_then(|most| Timespec::try_from(most).ok());
    match poll(&mut polled, most.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(vec![PollFlags::empty(); wanted.len()]),
        Err(error) => return Err(error.into()),
    }
    let mut found = polled.iter().map(PollFd::revents);
    Ok(wanted
        .iter()
        .map(|one| one.as_ref().and_then(|_| found.next()).unwrap_or(PollFlags::empty()))
        .collect())
}
