//! What a program in the bottle is before it becomes itself: it takes a session, a terminal and limits.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::SigSet;
use rustix::process::{
    Resource, Rlimit, Signal, getpid, getrlimit, ioctl_tiocsctty, kill_process, setrlimit, setsid,
};

use crate::error::StepExt;
use crate::protocol::Limits;
use crate::{GuestError, lead};

/// The variable the limits come in; the program itself does not get it.
pub const LIMITS: &str = "BOTTLE_GUEST_LIMITS";

/// Leads the session that the program runs in, and returns its exit code.
///
/// # Errors
/// Fails when the program cannot be started.
pub fn run(terminal: bool, command: &[OsString]) -> Result<u8, GuestError> {
    // A container's process 1 waits for signals, which are blocked in it and would be in all that it starts.
    SigSet::empty().thread_set_mask().step(|| "unblock the signals")?;
    setsid().step(|| "begin a session")?;
    if terminal {
        ioctl_tiocsctty(rustix::stdio::stdin()).step(|| "take the terminal")?;
    }
    let limits = std::env::var(LIMITS).unwrap_or_default();
    let limits = serde_json::from_str(&limits).map_err(io::Error::from).step(|| "read the limits")?;
    set(&limits).step(|| "set the limits")?;
    // Process 1 sees that this process stops, and continues it.
    let on_stop = || kill_process(getpid(), Signal::STOP).step(|| "stop with the program");
    if terminal {
        return lead::at_terminal(&mut lead::job(command), on_stop);
    }
    lead::on_streams(&mut program(command)?, on_stop)
}

/// Waits until the session's leader has given it the terminal, and becomes the program.
///
/// # Errors
/// Returns only when that fails.
pub fn job(command: &[OsString]) -> Result<u8, GuestError> {
    lead::wait_for_terminal()?;
    let mut program = program(command)?;
    let error = program.exec();
    Err(GuestError::run(&program, error))
}

fn program(command: &[OsString]) -> Result<Command, GuestError> {
    let (program, arguments) = command.split_first().ok_or(GuestError::ReadCommandLine)?;
    let mut command = Command::new(lead::named(program));
    command.args(arguments).env_remove(LIMITS);
    Ok(command)
}

fn set(limits: &Limits) -> io::Result<()> {
    let all = [
        (Resource::Nproc, limits.processes),
        (Resource::Data, limits.data_bytes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Nofile, limits.descriptors),
        (Resource::Core, Some(0)),
    ];
    for (resource, limit) in all {
        let Some(limit) = limit else { continue };
        // A limit that is lower already stays: only root could raise it, and nobody should.
        let limit = getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
