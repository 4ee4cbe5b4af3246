//! The engine's socket of another machine, brought here by the user's own `ssh`.
//!
//! `ssh` listens on a socket in a directory that only this user may enter. Once it does, this process holds the socket and takes its name
//! away, so that no other program can connect to it and nothing is left on the disk however this process ends. `ssh` itself is tied to
//! this process by the kernel (`bottle-guest tied`).

mod carried;
mod host;
mod place;
mod words;

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_bottle_kit::bwrap::{find_on_path, spawn};
use claude_bottle_kit::poll;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::{EngineError, Result};
pub(crate) use carried::{Carried, Ended};
pub use host::SshHost;
use place::Place;
use words::Words;

/// How long `ssh` may take to log in. It reports a machine that does not answer before that.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long its last messages may take, once it has ended or has ended a connection.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the engine may take to its first byte.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// The kernel's flag of a process that is on its way out, which it has before its files are closed: `PF_EXITING` in
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched.h>.
const EXITING: u64 = 4;

/// A forwarded socket, and the `ssh` that forwards it.
#[derive(Debug)]
pub(crate) struct Tunnel {
    host: SshHost,
    /// The socket, which has no name any more.
    socket: OwnedFd,
    ssh: Ssh,
}

/// A process that is a child of this one, which is not reaped before it is dropped: its number stays its own.
#[derive(Debug)]
struct Ssh {
    pid: Pid,
    handle: OwnedFd,
    words: Arc<Words>,
}

impl Tunnel {
    /// Opens it, and waits until the engine answers through it. This blocks.
    pub(crate) fn open(host: &SshHost, guest: &Path) -> Result<Self> {
        let said = |said: String| EngineError::ssh(host, said);
        let program = find_on_path("ssh");
        let program =
            program.ok_or_else(|| said("there is no program `ssh` on the search path".to_owned()))?;
        let place = Place::make()
            .map_err(|error| said(format!("cannot make a directory for its socket: {error}")))?;
        let ssh = Ssh::start(guest, &program, host.arguments(place.socket()))
            .map_err(|error| said(format!("cannot start it: {error}")))?;
        ssh.await_socket(&place).map_err(said)?;
        let socket = place.take().map_err(|error| said(format!("cannot hold its socket: {error}")))?;
        let tunnel = Self { host: host.clone(), socket, ssh };
        tunnel.try_out().map_err(said)?;
        Ok(tunnel)
    }

    /// Returns where the socket is connected to, which has no other name.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.socket.as_raw_fd()))
    }

    /// Returns `true` if `ssh` has ended, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        self.ssh.has_ended()
    }

    /// Returns why it has ended.
    fn ended(&self) -> Ended {
        let said = self.ssh.words.all(LAST_WORDS);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Ended { reason: format!("ssh to `{}` ended{said}", self.host) }
    }

    /// Checks that the engine answers. What a server of ssh refuses, it refuses at the first connection.
    fn try_out(&self) -> Result<(), String> {
        let mut answer = [0];
        let asked = self.first_connection().and_then(|mut stream| {
            stream.set_read_timeout(Some(FIRST_WORD))?;
            stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
            stream.read(&mut answer)
        });
        match asked {
            Ok(1..) => Ok(()),
            // The connection was ended: by `ssh`, which says why before that, or by what it leads to.
            Ok(_) => Err(match self.ssh.words.last(LAST_WORDS) {
                said if said.is_empty() => "what listens there is not an engine".to_owned(),
                said => said,
            }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(format!("what listens at `{}` there does not answer", self.host.path()))
            }
            Err(error) => Err(match self.ssh.words.last(LAST_WORDS) {
                said if said.is_empty() => error.to_string(),
                said => said,
            }),
        }
    }

    /// Connects, to a socket that has its name a moment before it listens.
    fn first_connection(&self) -> io::Result<UnixStream> {
        let begun = Instant::now();
        loop {
            match UnixStream::connect(self.path()) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    if self.has_ended() || begun.elapsed() > LAST_WORDS {
                        return Err(error);
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                other => return other,
            }
        }
    }
}

impl Ssh {
    fn start(guest: &Path, program: &Path, arguments: Vec<String>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(guest);
        command.arg("tied").arg(std::process::id().to_string()).arg(program).args(arguments);
        // Not in the terminal's foreground: ^C is the agent's, or the host's.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).process_group(0);
        let words = Words::listen(reader)?;
        let started = spawn("ssh", command)?;
        let pid = i32::try_from(started.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, handle: pidfd_open(pid, PidfdFlags::empty())?, words })
    }

    /// Waits until it listens, or says why it does not.
    fn await_socket(&self, place: &Place) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if place.socket().exists() {
                return Ok(());
            }
            if self.has_ended() {
                let said = self.words.all(LAST_WORDS);
                return Err(if said.is_empty() { "it ended without a word".to_owned() } else { said });
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let mut waiting =
                [PollFd::new(place.watch(), PollFlags::IN), PollFd::new(&self.handle, PollFlags::IN)];
            if poll::ready(&mut waiting, left).map_err(|error| error.to_string())? == 0 {
                let said = self.words.last(Duration::ZERO);
                let seconds = PATIENCE.as_secs();
                return Err(match said.is_empty() {
                    true => format!("not connected after {seconds} s"),
                    false => format!("not connected after {seconds} s: {said}"),
                });
            }
            place.seen();
        }
    }

    fn has_ended(&self) -> bool {
        let mut handle = [PollFd::new(&self.handle, PollFlags::IN)];
        poll::ready(&mut handle, Duration::ZERO).is_ok_and(|ready| ready > 0) || self.is_exiting()
    }

    fn is_exiting(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()));
        // The name, in brackets, may have anything in it; the flags are the seventh word after it.
        let flags = stat.ok().and_then(|stat| {
            let (_, rest) = stat.rsplit_once(')')?;
            rest.split_whitespace().nth(6)?.parse::<u64>().ok()
        });
        flags.is_none_or(|flags| flags & EXITING != 0)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // With SIGTERM it ends what it goes through as well. What does not take it dies with this process.
        pidfd_send_signal(&self.handle, Signal::TERM).ok();
        poll::ready(&mut [PollFd::new(&self.handle, PollFlags::IN)], Duration::from_millis(200)).ok();
        waitpid(Some(self.pid), WaitOptions::NOHANG).ok();
    }
}
