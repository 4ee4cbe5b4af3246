//! A program, and its session's leader.
//!
//! The leader stays, as a shell would, with the program as its only job. The kernel discards SIGTSTP, SIGTTIN and SIGTTOU for a
//! process group that has no parent in its own session ("orphaned process group",
//! <https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap03.html>), so that a program without one could not be
//! suspended. And only a parent learns that a program has stopped, which on docker process 1 is not.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{SigSet, Signal as Blocked};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, waitpid,
};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use rustix::termios::tcsetpgrp;

use crate::GuestError;
use crate::error::StepExt;

/// This very program, as the bottle sees it.
pub(crate) const SELF: &str = "/proc/self/exe";

/// The name by which the host runs this program in a bottle.
const NAME: &str = "bottle-guest";

/// Where a program is looked for when no variable says it.
const SEARCH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Returns the program that a name stands for: this one for its own, since the host does not know where a backend has put it.
pub(crate) fn named(program: &OsStr) -> &OsStr {
    if program == NAME { OsStr::new(SELF) } else { program }
}

/// Returns `true` if a program can be found from a directory. Whether it can be run is for the system to say.
pub(crate) fn is_there(program: &OsStr, search: Option<&OsString>, directory: &Path) -> bool {
    let program = named(program);
    if program.as_bytes().contains(&b'/') {
        return directory.join(program).exists();
    }
    let search = search.map_or(OsStr::new(SEARCH), OsString::as_os_str);
    let is_in = |place: PathBuf| directory.join(place).join(program).is_file();
    !program.is_empty() && std::env::split_paths(search).any(is_in)
}

/// Returns what becomes the program once it has the terminal.
pub(crate) fn job(command: &[OsString]) -> Command {
    let mut job = Command::new(SELF);
    job.args(["stage", "job"]).args(command);
    job
}

/// What a job does before it becomes the program: it stops, which its leader waits for.
pub(crate) fn wait_for_terminal() -> Result<(), GuestError> {
    SigSet::empty().thread_set_mask().step(|| "unblock the signals")?;
    kill_process(getpid(), Signal::STOP).step(|| "wait for the terminal")
}

/// Runs a [`job`] in the foreground and returns its exit code. When it stops, `on_stop` returns once it is to go on.
pub(crate) fn at_terminal(
    job: &mut Command,
    on_stop: impl FnMut() -> Result<(), GuestError>,
) -> Result<u8, GuestError> {
    // From the background this process may write to the terminal, whatever the program has set there.
    let mut output = SigSet::empty();
    output.add(Blocked::SIGTTOU);
    output.thread_block().step(|| "block a signal")?;
    let pid = spawn(job).step(|| "start a process")?;
    // It stops before it becomes the program.
    let mut status = wait_for(pid)?;
    if status.stopped() {
        tcsetpgrp(rustix::stdio::stdin(), pid).step(|| "give the terminal to the program")?;
        status = resume(pid)?;
    }
    stay(pid, status, on_stop)
}

/// Runs a program on streams that are not a terminal, as [`at_terminal`]. Of them only standard error stays open here: the
/// ends of the others are the program's to close.
pub(crate) fn on_streams(
    program: &mut Command,
    on_stop: impl FnMut() -> Result<(), GuestError>,
) -> Result<u8, GuestError> {
    let spawned = spawn(program);
    let pid = spawned.map_err(|error| GuestError::run(program, error))?;
    leave_streams().step(|| "let go of the streams")?;
    stay(pid, wait_for(pid)?, on_stop)
}

fn spawn(program: &mut Command) -> io::Result<Pid> {
    let child = program.process_group(0).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the system gave a strange process number"))
}

fn leave_streams() -> io::Result<()> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    Ok(dup2_stdout(&null)?)
}

/// Stays with a program until it ends.
fn stay(
    pid: Pid,
    mut status: WaitStatus,
    mut on_stop: impl FnMut() -> Result<(), GuestError>,
) -> Result<u8, GuestError> {
    while status.stopped() {
        on_stop()?;
        status = resume(pid)?;
    }
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

fn resume(pid: Pid) -> Result<WaitStatus, GuestError> {
    kill_process_group(pid, Signal::CONT).step(|| "continue the program")?;
    wait_for(pid)
}

/// Waits until the program stops or ends.
fn wait_for(pid: Pid) -> Result<WaitStatus, GuestError> {
    loop {
        match waitpid(Some(pid), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).step(|| "wait for the program"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_as_the_system_does() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tool"), "").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        let search = std::env::join_paths(["/nowhere".as_ref(), dir.path()]).unwrap();
        let check = |program: &str, search: Option<&OsString>, expected: bool| {
            assert_eq!(is_there(OsStr::new(program), search, dir.path()), expected, "{program}");
        };
        check("tool", Some(&search), true);
        check("folder", Some(&search), false);
        check("other", Some(&search), false);
        check("", Some(&search), false);
        check("sh", None, true);
        check(dir.path().join("tool").to_str().unwrap(), None, true);
        check("/nowhere/tool", Some(&search), false);
        check("./tool", None, true);
        check("bottle-guest", None, true);
    }
}
