//! The pseudo-terminal of a held session, and the program on it.
//!
//! The holder leads the terminal's session and the program is its foreground job, as under a shell: the program can be stopped
//! and continued, and the kernel hangs up on it when the holder dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{tcsetpgrp, tcsetwinsize};

use super::{Setup, Size, told};

/// A program on a terminal.
pub(super) struct Terminal {
    /// The holder's side.
    pub(super) master: OwnedFd,
    /// Readable when the program tells something.
    pub(super) told: OwnedFd,
    /// The program, and the group of its processes.
    pub(super) program: Pid,
}

impl Terminal {
    /// Starts the program. This process must lead its session, and have no terminal yet.
    pub(super) fn start(exe: &Path, setup: Setup) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        fcntl_setfd(&master, FdFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, setup.size.bounded().to_window())?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(ptsname(&master, Vec::new())?.into_bytes()));
        let slave = OpenOptions::new().read(true).write(true).open(path)?;
        // On some systems that was done by opening it.
        rustix::process::ioctl_tiocsctty(&slave)?;
        let (told, tells) = rustix::pipe::pipe()?;
        fcntl_setfd(&told, FdFlags::CLOEXEC)?;
        let program = spawn(exe, setup, &slave, &tells)?;
        tcsetpgrp(&slave, program)?;
        // It may have asked for the terminal before it was its own, and then it is stopped.
        kill_process_group(program, Signal::CONT)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        rustix::io::ioctl_fionbio(&told, true)?;
        Ok(Self { master, told, program })
    }

    /// Changes the size, of which the program hears by a signal.
    pub(super) fn resize(&self, size: Size) {
        if let Err(error) = tcsetwinsize(&self.master, size.to_window()) {
            tracing::debug!(%error, "change the terminal's size");
        }
    }

    /// Sends a signal to the program and what it started.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.program, signal) {
            tracing::debug!(%error, "signal the program");
        }
    }
}

fn spawn(exe: &Path, setup: Setup, slave: &File, tells: &OwnedFd) -> io::Result<Pid> {
    let mut command = Command::new(exe);
    command.arg("--held").arg(told::path(tells.as_raw_fd()));
    if !setup.attended {
        command.arg("--unattended");
    }
    command.args(setup.arguments).env_clear().envs(setup.environment).process_group(0);
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?);
    let child = command.spawn()?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no such process"))
}
