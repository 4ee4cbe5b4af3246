//! The door: where process 1 finds the guard, once.
//!
//! The guard listens in a directory that the agent's container can only read. What comes through are connections of the host's,
//! each a descriptor. The socket that the guard itself has is never in this container.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::DOOR;
use crate::protocol::{receive, send};

/// How long to wait before it is looked for again, at first and at most: the containers of a Pod begin in any order.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Comes to the door, however long it takes until there is one.
pub(super) fn enter(link: &Path) -> UnixStream {
    let mut pause = PAUSES.0;
    loop {
        if let Ok(door) = UnixStream::connect(link.join(DOOR)) {
            return door;
        }
        thread::sleep(pause);
        pause = (2 * pause).min(PAUSES.1);
    }
}

/// Waits for the next connection; `None` when the guard is gone.
pub(super) fn next(door: &UnixStream) -> Option<UnixStream> {
    let (_, fds) = receive::<()>(door).ok().flatten()?;
    fds.into_iter().next().map(UnixStream::from)
}

/// Hands a connection over, from the guard's side.
///
/// # Errors
/// Fails when the other side is gone.
pub fn hand_over(door: &UnixStream, connection: BorrowedFd<'_>) -> io::Result<()> {
    send(door, &(), &[connection.as_fd()])
}

/// Returns the user of the other side. Its process number is that of another container and reads as 0, which not every library takes.
///
/// # Errors
/// Fails when the system does not say it.
pub fn user_of(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, PeerCredentials)?.uid())
}

/// Takes a connection that was handed over.
///
/// # Errors
/// Fails when none is.
pub fn take(door: &UnixStream) -> io::Result<UnixStream> {
    next(door).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
