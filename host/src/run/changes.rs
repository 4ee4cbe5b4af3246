//! Changes in directories, told by the system where it does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::Timespec;

/// How long to wait where the system tells of no change.
#[cfg(not(target_os = "linux"))]
pub const TICK: Option<Timespec> = Some(Timespec { tv_sec: 0, tv_nsec: 250_000_000 });
/// The system tells of each change.
#[cfg(target_os = "linux")]
pub const TICK: Option<Timespec> = None;

/// Readable after a change in one of the directories.
pub struct Changes(OwnedFd);

impl Changes {
    /// Watches nothing yet.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        use rustix::fs::inotify::{CreateFlags, init};
        Ok(Self(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?))
    }

    /// Watches nothing: what is watched is looked at again and again.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        let (readable, writable) = rustix::pipe::pipe()?;
        rustix::io::ioctl_fionbio(&readable, true)?;
        std::mem::forget(writable);
        Ok(Self(readable))
    }

    /// Watches a directory, once however often: appended lines, and a log or record put in another's place.
    #[cfg(target_os = "linux")]
    pub fn add(&self, directory: &Path) -> io::Result<()> {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        let told = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
        add_watch(&self.0, directory, told)?;
        Ok(())
    }

    /// Watches nothing.
    #[cfg(not(target_os = "linux"))]
    pub fn add(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Takes all events; what they say does not matter, since the files themselves are looked at.
    pub fn drain(&self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&self.0, &mut events) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
