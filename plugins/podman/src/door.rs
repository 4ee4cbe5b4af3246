//! The door of a bottle: made outside, and handed to the container's process 1, which inherits nothing from this one.
//!
//! Process 1 finds a socket by its name, once, before anything of the agent's runs. What it is handed there has no name inside. Its
//! connection is kept for as long as this process lives: with it the container ends.

use std::fs::{self, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use bottle_guest::protocol;
use claude_bottle_directory::{RunDir, control};
use claude_bottle_kit::bwrap::PATIENCE;
use claude_bottle_kit::host_files::with_short_path;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::poll;
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::socket_peercred;

use crate::error::PodmanError;

/// Where it is handed over: in the bottle's directory, and inside.
pub(crate) const DIR: &str = "handover";
pub(crate) const INSIDE_DIR: &str = "/run/claude-bottle/handover";
pub(crate) const INSIDE: &str = "/run/claude-bottle/handover/door.sock";
const SOCKET: &str = "handover/door.sock";

/// How often it is looked whether the container still runs.
const LOOK: Duration = Duration::from_secs(1);

/// A door that was not handed over yet.
pub(crate) struct Door {
    door: OwnedFd,
    handover: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Makes it, and the socket by which it is handed over.
    pub(crate) fn make(dir: &RunDir, owner: Option<u32>) -> Result<Self> {
        dir.make_dir(DIR, 0o755, owner)?;
        let handover = with_short_path(&dir.path, SOCKET, UnixListener::bind)?;
        let path = dir.join(SOCKET);
        // The bottle's directory is closed to others.
        fs::set_permissions(&path, Permissions::from_mode(0o666)).at("set the mode of", &path)?;
        Ok(Self { door: control::make(dir)?, handover, path })
    }

    /// Waits until something asks for the door or nothing will any more.
    ///
    /// `process` tells of the container's own process: its number while it runs, and what it said when it has ended.
    pub(crate) fn hand_over(self, call: &Call, process: impl Fn() -> Result<u32>) -> Result<UnixStream> {
        self.await_caller(call, &process)?;
        let (caller, _) =
            self.handover.accept().failure(FailureKind::Internal, || "cannot hand the door over")?;
        let peer =
            socket_peercred(&caller).failure(FailureKind::Internal, || "cannot see who asks for the door")?;
        if peer.pid.as_raw_nonzero().get().cast_unsigned() != process()? {
            return Err(PodmanError::StrangerAtDoor.into());
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
        Err(PodmanError::Silent.into())
    }
}
