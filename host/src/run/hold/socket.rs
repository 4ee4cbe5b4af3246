//! The socket of a held session: in the run's directory, which its user alone may enter, and the peer is asked who it is.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the directory of its run.
pub const FILE: &str = "attach.sock";

/// Listens in the directory of a run.
pub fn listen(run: &Path) -> io::Result<UnixListener> {
    let listener = with_short_path(run, UnixListener::bind)?;
    fs::set_permissions(run.join(FILE), Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the holder of a run; `None` if the run has none.
pub fn connect(run: &Path) -> io::Result<Option<UnixStream>> {
    let gone = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    match with_short_path(run, UnixStream::connect) {
        Ok(stream) if is_ours(&stream) => Ok(Some(stream)),
        Ok(_) => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is held by another user")),
        Err(error) if gone.contains(&error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the socket of a run; one that is gone is fine.
pub fn remove(run: &Path) -> io::Result<()> {
    match fs::remove_file(run.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns `true` if the process at the other end belongs to this user.
#[cfg(target_os = "linux")]
pub fn is_ours(stream: impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Elsewhere the directory's mode is all that keeps others out.
#[cfg(not(target_os = "linux"))]
pub fn is_ours(_stream: impl AsFd) -> bool {
    true
}

/// Names the socket by the run's open directory: a Unix socket's path has 108 bytes at most.
#[cfg(target_os = "linux")]
fn with_short_path<T>(run: &Path, use_path: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let held = File::open(run)?;
    use_path(PathBuf::from(format!("/proc/self/fd/{}/{FILE}", held.as_raw_fd())))
}

#[cfg(not(target_os = "linux"))]
fn with_short_path<T>(run: &Path, use_path: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let _exists = File::open(run)?;
    use_path(run.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_reached_by_its_directory_however_long_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("a".repeat(100)).join("b".repeat(100));
        assert!(connect(&run).unwrap().is_none());
        fs::create_dir_all(&run).unwrap();
        assert!(connect(&run).unwrap().is_none());
        let listener = listen(&run).unwrap();
        assert_eq!(fs::metadata(run.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(connect(&run).unwrap().is_some_and(is_ours));
        drop(listener);
        assert!(connect(&run).unwrap().is_none(), "its holder is gone");
        remove(&run).unwrap();
        remove(&run).unwrap();
    }
}
