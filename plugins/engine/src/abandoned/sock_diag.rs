//! What the kernel reports about Unix sockets: `sock_diag(7)`, by the numbers of `linux/netlink.h`, `linux/sock_diag.h` and
//! `linux/unix_diag.h`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send};

use super::Abandoned;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `UDIAG_SHOW_VFS` and `UDIAG_SHOW_ICONS`.
const SHOW_FILE_AND_WAITING: u32 = 2 | 8;
const UNIX_DIAG_VFS: u16 = 1;
/// For a socket that takes connections: the number of the other side of each that waits, which is 0 when that is closed.
const UNIX_DIAG_ICONS: u16 = 3;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
/// What `UNIX_DIAG_SHUTDOWN` says of a connection whose other side is closed.
const BOTH_WAYS: u8 = 3;

/// The size of a message's head, and of the fixed part of a socket's description.
const HEAD: usize = 16;
/// As much as the kernel puts into one answer.
const ANSWER: usize = 32 << 10;

/// Returns the connections to a socket whose client is gone.
pub(super) fn connections(socket: &Path) -> io::Result<Abandoned> {
    // Device numbers are left out: to the kernel and to `stat`, some file systems have different ones. A socket of the same
    // number elsewhere costs a wait at most.
    let file = fs::metadata(socket)?.ino();
    let diag = ask()?;
    let (mut found, mut answer) = (Abandoned::default(), vec![0; ANSWER]);
    loop {
        let (length, _) = recv(&diag, &mut answer[..], RecvFlags::empty())?;
        let mut rest = &answer[..length];
        while let Some((kind, message, next)) = message(rest) {
            match kind {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => return Err(io::ErrorKind::Unsupported.into()),
                _ => note(message, file, &mut found).unwrap_or_default(),
            }
            rest = next;
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Asks the kernel for all Unix sockets.
fn ask() -> io::Result<OwnedFd> {
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let diag = rustix::net::socket_with(family, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    let mut request = Vec::new();
    // `nlmsghdr`: length, kind, flags, sequence, port.
    request.extend(40_u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 8]);
    // `unix_diag_req`: family, protocol, padding, states, inode, what is shown, cookie.
    request.extend([AddressFamily::UNIX.as_raw() as u8, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(0_u32.to_ne_bytes());
    request.extend(SHOW_FILE_AND_WAITING.to_ne_bytes());
    request.extend([0; 8]);
    send(&diag, &request, SendFlags::empty())?;
    Ok(diag)
}

/// Takes a message off an answer: its kind, what it says, and what comes after it.
fn message(answer: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*answer.first_chunk()?) as usize;
    let kind = number(answer.get(4..)?)?;
    let said = answer.get(HEAD..length)?;
    Some((kind, said, answer.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Notes a socket, if it is bound to `file`; `None` for a message that is cut short.
fn note(socket: &[u8], file: u64, found: &mut Abandoned) -> Option<()> {
    // `unix_diag_msg`: family, type, state, padding, inode, cookie; then attributes.
    let inode = u32::from_ne_bytes(*socket.get(4..)?.first_chunk()?);
    let (mut is_of_file, mut is_shut, mut is_awaited) = (false, false, false);
    let mut rest = socket.get(HEAD..)?;
    while let (Some(length), Some(name)) = (number(rest), rest.get(2..).and_then(number)) {
        let value = rest.get(4..usize::from(length))?;
        match name {
            // The kernel reports the lower half of the file's number.
            UNIX_DIAG_VFS => is_of_file = value.first_chunk() == Some(&(file as u32).to_ne_bytes()),
            UNIX_DIAG_ICONS => is_awaited = value.chunks_exact(4).any(|other| other == [0; 4]),
            UNIX_DIAG_SHUTDOWN => is_shut = value.first() == Some(&BOTH_WAYS),
            _ => {}
        }
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    if is_of_file {
        found.waiting |= is_awaited;
        found.taken.extend(is_shut.then_some(inode));
    }
    Some(())
}

fn number(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_connection_counts_from_the_end_of_its_client_to_the_end_of_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("engine.sock"), dir.path().join("link"));
        let (engine, other) =
            (UnixListener::bind(&path).unwrap(), UnixListener::bind(dir.path().join("other.sock")).unwrap());
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let left = || {
            let found = connections(&link).unwrap();
            (found.waiting, found.taken.len())
        };
        let [mut first, second] = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
        let elsewhere = UnixStream::connect(other.local_addr().unwrap().as_pathname().unwrap()).unwrap();
        assert_eq!(left(), (false, 0), "the clients live");
        first.write_all(b"POST /networks/create").unwrap();
        drop(first);
        drop(elsewhere);
        assert_eq!(left(), (true, 0), "the engine has not even looked at it");
        let work = engine.accept().unwrap();
        assert_eq!(left(), (false, 1), "the engine works on it");
        let living = engine.accept().unwrap();
        assert_eq!(left(), (false, 1));
        drop(work);
        assert_eq!(left(), (false, 0), "the engine is through");
        drop(second);
        assert_eq!(left(), (false, 1));
        drop(living);
    }

    #[test]
    fn what_cannot_be_seen_is_an_error() {
        assert!(connections(Path::new("/nonexistent/engine.sock")).is_err());
    }
}
