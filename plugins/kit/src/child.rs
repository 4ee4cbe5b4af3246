//! Waits for a program that is a child process of the backend, and ends it when its call is cancelled.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use claude_bottle_plugin_api::{Call, ErrorExt, ExitStatus, Failure, FailureKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// Waits until a program ends. A call that is cancelled asks it to end, and kills it if it does not; its children stay.
///
/// # Errors
/// [`FailureKind::Cancelled`] when the call was cancelled.
pub fn wait(call: &Call, child: &mut Child) -> Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::new(FailureKind::Internal, "the program has no number"))?;
    let watch = || "cannot wait for a program";
    let end = pidfd_open(pid, PidfdFlags::empty()).failure(FailureKind::Internal, watch)?;
    let cancel = call.cancel_fd();
    let mut fds = vec![PollFd::new(&end, PollFlags::IN)];
    fds.extend(cancel.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
    until_ready(&mut fds, None).failure(FailureKind::Internal, watch)?;
    if !fds.first().is_some_and(|end| end.revents().is_empty()) {
        let status = child.wait().failure(FailureKind::Internal, watch)?;
        let killed = || 128 + status.signal().unwrap_or_default();
        return Ok(ExitStatus::code(status.code().unwrap_or_else(killed)));
    }
    // It is not reaped yet, so the number is still its own.
    kill_process(pid, Signal::TERM).ok();
    let grace = Timespec::try_from(GRACE).ok();
    until_ready(&mut fds[..1], grace.as_ref()).failure(FailureKind::Internal, watch)?;
    child.kill().failure(FailureKind::Internal, || "cannot end a program")?;
    child.wait().failure(FailureKind::Internal, watch)?;
    Err(Failure::cancelled())
}

fn until_ready(fds: &mut [PollFd<'_>], patience: Option<&Timespec>) -> rustix::io::Result<()> {
    loop {
        match poll(fds, patience) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}
