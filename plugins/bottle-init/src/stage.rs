//! What a program in the bottle is before it becomes itself: it takes a session, a terminal and limits.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, ioctl_tiocsctty, setrlimit, setsid};

use crate::InitError;
use crate::error::StepExt;
use crate::protocol::Limits;

/// The variable the limits come in; the program itself does not get it.
pub const LIMITS: &str = "BOTTLE_INIT_LIMITS";

/// Becomes the program.
///
/// # Errors
/// Returns only when that fails.
pub fn run(terminal: bool, command: &[OsString]) -> Result<(), InitError> {
    let (program, arguments) = command.split_first().ok_or(InitError::ReadCommandLine)?;
    setsid().step(|| "begin a session")?;
    if terminal {
        ioctl_tiocsctty(rustix::stdio::stdin()).step(|| "take the terminal")?;
    }
    let limits = std::env::var(LIMITS).unwrap_or_default();
    let limits = serde_json::from_str(&limits).map_err(io::Error::from).step(|| "read the limits")?;
    set(&limits).step(|| "set the limits")?;
    let error = Command::new(program).args(arguments).env_remove(LIMITS).exec();
    Err(InitError::RunProgram { program: program.to_string_lossy().into_owned(), source: error })
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
