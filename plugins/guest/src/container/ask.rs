//! Short commands that the engine's exec starts in a container, on the backend's behalf.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::words::{Answer, Ask};
use crate::GuestError;
use crate::error::StepExt;
use crate::protocol::{receive, send};

/// How often, and how long each time, it is tried to reach a proxy.
const TRIES: (u32, Duration) = (200, Duration::from_millis(50));

/// How often the limit on processes was hit, in both kinds of control groups:
/// <https://docs.kernel.org/admin-guide/cgroup-v1/pids.html>.
const PIDS_EVENTS: [&str; 2] = ["/sys/fs/cgroup/pids/pids.events", "/sys/fs/cgroup/pids.events"];

/// Says something to process 1, and returns the connection.
pub(super) fn say(ask: &Ask) -> Result<UnixStream, GuestError> {
    let connect = || UnixStream::connect_addr(&super::address()?);
    let connection = connect().step(|| "reach process 1 of the bottle")?;
    send(&connection, ask, &[]).step(|| "ask process 1 of the bottle")?;
    Ok(connection)
}

/// Waits for an answer.
pub(super) fn hear(connection: &UnixStream) -> Result<Answer, GuestError> {
    let answer =
        receive::<Answer>(connection).and_then(|answer| answer.ok_or(io::ErrorKind::UnexpectedEof.into()));
    answer.map(|(answer, _)| answer).step(|| "hear process 1 of the bottle")
}

fn yes_or_no(ask: &Ask) -> Result<u8, GuestError> {
    Ok(if matches!(hear(&say(ask)?)?, Answer::Yes) { 0 } else { 1 })
}

fn token(token: &OsStr) -> String {
    token.to_string_lossy().into_owned()
}

/// Sends a signal to the program of an execution; returns the exit code 1 when it is gone.
///
/// # Errors
/// Fails when process 1 does not answer.
pub fn signal(of: &OsStr, number: &OsStr) -> Result<u8, GuestError> {
    let number = number.to_str().and_then(|text| text.parse().ok()).ok_or(GuestError::ReadCommandLine)?;
    yes_or_no(&Ask::Signal { token: token(of), number })
}

/// Returns the exit code 0 when the program of an execution was not there, and else 1.
///
/// # Errors
/// Fails when process 1 does not answer.
pub fn was_missing(of: &OsStr) -> Result<u8, GuestError> {
    yes_or_no(&Ask::WasMissing { token: token(of) })
}

/// Waits until something accepts connections at an address, `host:port`; returns the exit code 1 when nothing does.
///
/// # Errors
/// Fails when that is not an address.
pub fn reach(address: &OsStr) -> Result<u8, GuestError> {
    let address = address.to_str().ok_or(GuestError::ReadCommandLine)?;
    let (tries, pause) = TRIES;
    for _ in 0..tries {
        if TcpStream::connect(address).is_ok() {
            return Ok(0);
        }
        std::thread::sleep(pause);
    }
    Ok(1)
}

/// Removes files and directories; what is not there needs nothing.
///
/// # Errors
/// Fails when one stays.
pub fn remove(paths: &[OsString]) -> Result<u8, GuestError> {
    for path in paths.iter().map(Path::new) {
        let removed = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).step(|| format!("remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    Ok(0)
}

/// Prints how often the bottle's limit on processes was hit.
///
/// # Errors
/// Fails when nobody reads it.
pub fn process_limit_hits() -> Result<u8, GuestError> {
    let hits: u64 =
        PIDS_EVENTS.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| hits(&text)).sum();
    writeln!(io::stdout(), "{hits}").step(|| "print a number")?;
    Ok(0)
}

fn hits(events: &str) -> u64 {
    events.lines().filter_map(|line| line.strip_prefix("max ")?.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn hits_of_the_limit_are_read() {
        assert_eq!(hits("max 12\n"), 12);
        assert_eq!(hits("other 3\nmax x\n"), 0);
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link, tree) = (dir.path().join("kept"), dir.path().join("link"), dir.path().join("tree"));
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        symlink(&kept, &link).unwrap();
        symlink(&kept, tree.join("deep/link")).unwrap();
        let paths = [&link, &tree, &dir.path().join("none")].map(|path| path.clone().into_os_string());
        assert_eq!(remove(&paths).unwrap(), 0);
        assert!(!link.exists() && !tree.exists() && kept.join("file").exists());
    }

    #[test]
    fn a_port_is_reached_once_something_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(reach(address.as_ref()).unwrap(), 0);
    }
}
