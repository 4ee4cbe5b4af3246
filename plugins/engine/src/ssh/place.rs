//! The directory in which `ssh` makes its socket: this user's alone, watched, and gone as soon as the socket is held. What a process leaves
//! that is killed before that, the next one removes: a lock on the directory says that its process is there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};

/// The longest name of a directory in which a socket can have one: <https://man7.org/linux/man-pages/man7/unix.7.html> has 108 bytes.
const LONGEST: usize = 60;

/// What the names of such directories begin with.
const PREFIX: &str = "claude-bottle-ssh-";
/// The socket's name.
const SOCKET: &str = "s";

/// The directory. It goes with the value.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    socket: PathBuf,
    watch: OwnedFd,
    /// Held as long as the directory is in use.
    _lock: OwnedFd,
}

impl Place {
    /// Makes it where the user's session has such things, or where temporary files are.
    pub(super) fn make() -> io::Result<Self> {
        let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let parents = session.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for parent in parents.filter(|parent| is_plain(parent)) {
            match Self::make_in(&parent) {
                Err(error) => failed = error,
                made => return made,
            }
        }
        Err(failed)
    }

    fn make_in(parent: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        remove_abandoned(parent);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let dir = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&dir) {
                // Of another process that has the same number, in a process namespace of its own.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            // Another process may take it for abandoned up to here, and then it is gone.
            let Some(lock) = lock(&dir) else { continue };
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            if inotify::add_watch(&watch, &dir, WatchFlags::CREATE).is_err() {
                continue;
            }
            return Ok(Self { socket: dir.join(SOCKET), dir, watch, _lock: lock });
        }
    }

    /// Returns where the socket will be.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns what becomes readable when something is made in it.
    pub(super) fn watch(&self) -> &OwnedFd {
        &self.watch
    }

    /// Takes note of what was made.
    pub(super) fn seen(&self) {
        let mut events = [0; 512];
        while rustix::io::read(&self.watch, &mut events).is_ok_and(|read| read > 0) {}
    }

    /// Holds the socket, and takes its name away.
    pub(super) fn take(self) -> io::Result<OwnedFd> {
        Ok(openat(CWD, &self.socket, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// Locks a directory; `None` if another process has.
fn lock(dir: &Path) -> Option<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, dir, flags, Mode::empty()).ok()?;
    flock(&opened, FlockOperation::NonBlockingLockExclusive).ok().map(|()| opened)
}

fn remove(dir: &Path) {
    // Neither has to be there.
    fs::remove_file(dir.join(SOCKET)).ok();
    fs::remove_dir(dir).ok();
}

/// Removes what processes left that were killed. Another user's cannot be opened.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && let Some(_lock) = lock(&entry.path())
        {
            remove(&entry.path());
        }
    }
}

/// Returns `true` if `ssh` takes a path as it is: it gives some characters meanings of their own.
fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    path.is_absolute()
        && bytes.len() <= LONGEST
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@,=".contains(byte))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_that_is_held_is_connected_to_without_a_name() {
        let parent = tempfile::tempdir().unwrap();
        let place = Place::make_in(parent.path()).unwrap();
        assert_eq!(fs::metadata(&place.dir).unwrap().permissions().mode() & 0o777, 0o700);
        let listener = UnixListener::bind(place.socket()).unwrap();
        let mut ready = [rustix::event::PollFd::new(place.watch(), rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut ready, None), Ok(1));
        place.seen();
        let held = place.take().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        UnixStream::connect(format!("/proc/self/fd/{}", held.as_raw_fd())).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join("claude-bottle-ssh-1-0");
        fs::create_dir(&abandoned).unwrap();
        drop(UnixListener::bind(abandoned.join(SOCKET)).unwrap());
        let other = parent.path().join("claude-bottle-other");
        fs::create_dir(&other).unwrap();
        let first = Place::make_in(parent.path()).unwrap();
        let second = Place::make_in(parent.path()).unwrap();
        assert!(!abandoned.exists() && other.exists() && first.dir.exists() && second.dir.exists());
        drop((first, second));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_whose_name_ssh_would_read_otherwise_is_passed_over() {
        let long = format!("/{}", "x".repeat(LONGEST));
        for path in ["/a:b", "/%h", "/${HOME}", "run", long.as_str()] {
            assert!(!is_plain(Path::new(path)), "{path}");
        }
        assert!(is_plain(Path::new("/run/user/1000")));
    }
}
