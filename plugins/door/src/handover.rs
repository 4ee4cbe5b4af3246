//! A door is made outside, and handed to a container's process 1, which inherits nothing from this one.
//!
//! Process 1 finds a socket by its name, once, before anything of the agent's runs. What it is handed there has no name inside. Its
//! connection is kept for as long as this process lives: with it the container ends.

use std::fs::{self, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bottle_guest::protocol;
use claude_bottle_kit::bwrap::PATIENCE;
use claude_bottle_kit::host_files::with_short_path;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::poll;
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::socket_peercred;

use crate::{DoorError, control};

/// The directory in the bottle's directory where it is handed over. The container gets it for reading.
pub const DIR: &str = "handover";

/// The name of the socket there.
pub const SOCKET: &str = "door.sock";

/// How often it is looked whether the container still runs.
const LOOK: Duration = Duration::from_secs(1);

/// A door that was not handed over yet.
pub struct Handover {
    door: OwnedFd,
    handover: UnixListener,
    path: PathBuf,
}

impl Handover {
    /// Makes it in a bottle's directory, where [`DIR`] is, and the socket by which it is handed over.
    ///
    /// # Errors
    /// Fails when there is one, and when the disk does not take it.
    pub fn make(dir: &Path) -> Result<Self> {
        let socket = format!("{DIR}/{SOCKET}");
        let handover = with_short_path(dir, &socket, UnixListener::bind)?;
        let path = dir.join(socket);
        // The bottle's directory is closed to others.
        fs::set_permissions(&path, Permissions::from_mode(0o666)).at("set the mode of", &path)?;
        Ok(Self { door: control::make(dir)?, handover, path })
    }

    /// Waits until something asks for the door or nothing will any more.
    ///
    /// `process` tells of the container's own process: its number while it runs, and what it said when it has ended.
    ///
    /// # Errors
    /// Fails as `process` does, when another process asks, when none does, and when the call is cancelled.
    pub fn hand_over(self, call: &Call, process: impl Fn() -> Result<u32>) -> Result<UnixStream> {
        self.await_caller(call, &process)?;
        let (caller, _) =
            self.handover.accept().failure(FailureKind::Internal, || "cannot hand the door over")?;
        let peer =
            socket_peercred(&caller).failure(FailureKind::Internal, || "cannot see who asks for the door")?;
        if peer.pid.as_raw_nonzero().get().cast_unsigned() != process()? {
            return Err(DoorError::Stranger.into());
        }
        fs::remove_file(&self.path).at("remove", &self.path)?;
        let sent = protocol::send(&caller, &(), &[self.door.as_fd()]);
        sent.failure(FailureKind::Internal, || "cannot hand the door over")?;
        Ok(caller)
    }

    fn await_caller(&self, call: &Call, process: &impl Fn() -> Result<u32>) -> Result<()> {
        let cancel = call.cancel_fd();
        for _ in 0..PATIENCE.as_secs() {
            let mut waiting = vec![PollFd::new(&self.handover, PollFlags::IN)];
            waiting.extend(cancel.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let found = poll::ready(&mut waiting, LOOK);
            let found = found.failure(FailureKind::Internal, || "cannot wait for the container")?;
            let has_caller = !waiting[0].revents().is_empty();
            call.check()?;
            if found > 0 && has_caller {
                return Ok(());
            }
            // One that has ended says why.
            process()?;
        }
        Err(DoorError::Silent.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claude_bottle_plugin_api::{CallServices, Event, Failure, Owner, Secret};

    use super::*;

    /// A double: a host that grants nothing and never cancels.
    struct Quiet;

    impl CallServices for Quiet {
        fn event(&self, _event: &Event) {}

        fn cancelled(&self) -> bool {
            false
        }

        fn cancel_fd(&self) -> Option<OwnedFd> {
            None
        }

        fn secret(&self, name: &str) -> Result<Secret> {
            Err(Failure::new(FailureKind::NotFound, name))
        }

        fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
            Ok(true)
        }
    }

    fn handover() -> (tempfile::TempDir, Handover) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(DIR)).unwrap();
        let handover = Handover::make(dir.path()).unwrap();
        (dir, handover)
    }

    #[test]
    fn only_the_process_that_was_meant_is_handed_the_door() {
        let call = Call::new(Arc::new(Quiet));
        let (dir, door) = handover();
        let socket = dir.path().join(DIR).join(SOCKET);
        let caller = UnixStream::connect(&socket).unwrap();
        door.hand_over(&call, || Ok(std::process::id())).unwrap();
        let ((), fds) = protocol::receive(&caller).unwrap().unwrap();
        assert_eq!(fds.len(), 1);
        assert!(!socket.exists() && control::exists(dir.path()));

        let (dir, door) = handover();
        let caller = UnixStream::connect(dir.path().join(DIR).join(SOCKET)).unwrap();
        let failure = door.hand_over(&call, || Ok(1)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
        assert!(protocol::receive::<()>(&caller).unwrap().is_none());
    }

    #[test]
    fn a_container_that_has_ended_is_not_waited_for() {
        let (_dir, door) = handover();
        let ended = || Err(Failure::new(FailureKind::Internal, "it has ended"));
        let failure = door.hand_over(&Call::new(Arc::new(Quiet)), ended).unwrap_err();
        assert_eq!(failure.message, "it has ended");
    }
}
