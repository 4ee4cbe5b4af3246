//! Whether the `bwrap` that a process is a child of is still there.
//!
//! `PR_SET_PDEATHSIG` says nothing about a parent that died before it was set, and `bwrap --die-with-parent` does not
//! look. In a process namespace of its own a child cannot look either, since its parent has no number there. But a
//! record lock belongs to one process, is kept over `exec` and not inherited over `fork`, and goes with its process:
//! the stage takes one before it becomes `bwrap`, and what `bwrap` starts sees whether it is still taken.
//! <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>,
//! <https://man7.org/linux/man-pages/man2/F_SETLK.2const.html>

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{FlockOperation, MemfdFlags, fcntl_lock, memfd_create};
use rustix::io::Errno;
use rustix::stdio::{dup2_stdout, stderr, stdout};

use crate::GuestError;
use crate::error::StepExt;

/// Becomes a program, unless the parent is gone.
///
/// # Errors
/// Returns only when that fails.
pub fn run(command: &[OsString]) -> Result<(), GuestError> {
    let (program, arguments) = command.split_first().ok_or(GuestError::ReadCommandLine)?;
    check()?;
    let error = Command::new(program).args(arguments).exec();
    Err(GuestError::RunProgram { program: program.to_string_lossy().into_owned(), source: error })
}

/// Takes the lock. It is on standard output, the one descriptor that `bwrap` neither closes nor uses.
pub(crate) fn hold() -> Result<(), GuestError> {
    let make = || -> rustix::io::Result<()> {
        // Closing any other descriptor of the file would give the lock up, so there is none when it is taken.
        dup2_stdout(memfd_create("claude-bottle-parent", MemfdFlags::CLOEXEC)?)?;
        fcntl_lock(stdout(), FlockOperation::NonBlockingLockExclusive)
    };
    make().step(|| "show that this process is there")
}

/// Fails when the parent is gone. Afterwards standard output goes where standard error does.
///
/// Invariant: the death signal is set, which is the last that `bwrap` does. So a parent that dies after this look
/// takes this process along.
pub(crate) fn check() -> Result<(), GuestError> {
    match fcntl_lock(stdout(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Err(GuestError::FindParent),
        Err(Errno::AGAIN | Errno::ACCESS) => {}
        Err(error) => return Err(error).step(|| "look for the parent"),
    }
    dup2_stdout(stderr()).step(|| "let go of standard output")
}
