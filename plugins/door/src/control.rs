//! The backend's side of a bottle's door: a Unix socket whose other end is process 1.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use bottle_guest::protocol::{self, Reply, Request};
use claude_bottle_kit::bwrap::{BwrapError, PATIENCE};
use claude_bottle_kit::host_files::with_short_path;
use claude_bottle_kit::poll;
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags};

use crate::DoorError;

const SOCKET: &str = "door.sock";

/// Makes the door in a bottle's directory. Only the bottle's process 1 gets the listening side.
///
/// # Errors
/// Fails when there is one, and when the disk does not take it.
pub fn make(dir: &Path) -> Result<OwnedFd> {
    with_short_path(dir, SOCKET, |path| UnixListener::bind(path).map(OwnedFd::from))
}

/// Returns `true` if a bottle with this directory has a door, whether it runs or not.
pub fn exists(dir: &Path) -> bool {
    dir.join(SOCKET).symlink_metadata().is_ok()
}

/// Sends a request through the door of the bottle that has this directory and this name.
///
/// # Errors
/// Fails when the bottle does not run.
pub fn send_request(dir: &Path, name: &str, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<UnixStream> {
    let gone = || DoorError::ReachBottle { name: name.to_owned() };
    let stream = with_short_path(dir, SOCKET, UnixStream::connect).map_err(|_| gone())?;
    protocol::send(&stream, request, fds).map_err(|_| gone())?;
    Ok(stream)
}

/// Waits for an answer; `None` when the bottle has gone away.
///
/// # Errors
/// Fails when the bottle refuses or stays silent, and when the call is cancelled.
pub fn answer(call: &Call, stream: &UnixStream) -> Result<Option<(Reply, Vec<OwnedFd>)>> {
    let cancel = call.cancel_fd();
    let mut waiting = vec![PollFd::new(stream, PollFlags::IN)];
    waiting.extend(cancel.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
    let found = poll::ready(&mut waiting, PATIENCE);
    let found = found.failure(FailureKind::Internal, || "cannot wait for the bottle")?;
    call.check()?;
    if found == 0 {
        return Err(BwrapError::AwaitPart { part: "sandbox", seconds: PATIENCE.as_secs() }.into());
    }
    stream.set_read_timeout(Some(PATIENCE)).failure(FailureKind::Internal, || "cannot set a deadline")?;
    match protocol::receive::<Reply>(stream) {
        Ok(Some((Reply::Failed(reason), _))) => Err(DoorError::AskBottle { reason }.into()),
        Ok(reply) => Ok(reply),
        // A listener that closes resets those who wait at it.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error).failure(FailureKind::Internal, || "cannot read the bottle's answer"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, kill_process};

    use super::*;

    #[test]
    fn a_signal_does_not_end_the_wait() {
        let is_handled = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGWINCH, Arc::clone(&is_handled)).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            poll::ready(&mut [PollFd::new(&reader, PollFlags::IN)], Duration::from_secs(60))
        });
        let thread = told.recv().unwrap();
        for _ in 0..50 {
            is_handled.store(false, Ordering::SeqCst);
            // The kernel gives a signal to the thread that it is sent to by number, when that takes it.
            kill_process(thread, Signal::WINCH).unwrap();
            while !is_handled.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        writer.write_all(b"x").unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(1));
    }
}
