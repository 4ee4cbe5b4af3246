//! A way through the guard for programs that speak no HTTP: `ssh` runs this as its `ProxyCommand`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use crate::GuestError;
use crate::error::StepExt;

/// The longest answer head that is read.
pub(crate) const MAX_HEAD: usize = 8 * 1024;

const BUFFER: usize = 16 * 1024;

/// Asks the proxy for a tunnel and joins it to standard input and output.
///
/// # Errors
/// Fails when the proxy refuses or goes away.
pub fn run(proxy: &OsStr, host: &OsStr, port: &OsStr) -> Result<(), GuestError> {
    let (Some(proxy), Some(host), Some(port)) = (proxy.to_str(), host.to_str(), port.to_str()) else {
        return Err(GuestError::ReadCommandLine);
    };
    let mut tunnel = TcpStream::connect(proxy).step(|| format!("connect to the guard at `{proxy}`"))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    ask(&mut tunnel, &format!("{host}:{port}"))?;
    // Plain reads and writes: `io::copy` splices between a socket and a pipe, and in a bottle that was seen to stall, which
    // ssh takes for a dead connection; and the standard library's output keeps what has no line end.
    let upward = tunnel.try_clone().step(|| "use the tunnel")?;
    thread::spawn(move || {
        copy(io::stdin().lock(), &upward);
        upward.shutdown(Shutdown::Write).ok();
    });
    let stdout = io::stdout().as_fd().try_clone_to_owned().step(|| "use the tunnel")?;
    copy(tunnel, File::from(stdout));
    Ok(())
}

/// Returns the request for a tunnel to a place, `host:port`.
pub(crate) fn request(place: &str) -> String {
    format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n")
}

/// Returns the length of an answer's head, once it is all there.
pub(crate) fn head_length(answer: &[u8]) -> Option<usize> {
    let end = b"\r\n\r\n";
    let read = &answer[..answer.len().min(MAX_HEAD)];
    read.windows(end.len()).position(|window| window == end).map(|at| at + end.len())
}

/// Returns `true` if an answer's head says that the tunnel is there.
pub(crate) fn is_established(head: &[u8]) -> bool {
    head.starts_with(b"HTTP/1.1 200 ") || head.starts_with(b"HTTP/1.0 200 ")
}

/// Asks for a tunnel to a place, `host:port`, and reads the answer and nothing behind it.
fn ask(tunnel: &mut (impl Read + Write), place: &str) -> Result<(), GuestError> {
    tunnel.write_all(request(place).as_bytes()).step(|| "ask the guard")?;
    let mut head = Vec::new();
    // Byte by byte, since what follows the head belongs to the tunnel.
    while head_length(&head).is_none() && head.len() < MAX_HEAD {
        let mut byte = [0];
        tunnel.read_exact(&mut byte).step(|| "hear the guard's answer")?;
        head.push(byte[0]);
    }
    if is_established(&head) {
        return Ok(());
    }
    let head = String::from_utf8_lossy(&head);
    let line: String = head.lines().next().unwrap_or_default().chars().take(200).collect();
    Err(GuestError::PassGuard { answer: line.escape_default().to_string() })
}

/// Copies until the end or an error; either way there is nothing more to be had.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) if to.write_all(&buffer[..length]).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A guard with a fixed answer.
    struct Guard(Vec<u8>, Cursor<Vec<u8>>);

    impl Read for Guard {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.read(buffer)
        }
    }

    impl Write for Guard {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.0.write(buffer)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_follows_the_head_stays_in_the_tunnel() {
        let answer = b"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-x".to_vec();
        let mut guard = Guard(Vec::new(), Cursor::new(answer));
        ask(&mut guard, "git.example:22").unwrap();
        assert!(guard.0.starts_with(b"CONNECT git.example:22 HTTP/1.1\r\n"));
        let mut rest = String::new();
        guard.1.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "SSH-2.0-x");
    }

    #[test]
    fn a_refusal_is_escaped() {
        let mut guard = Guard(Vec::new(), Cursor::new(b"HTTP/1.1 403 \x1b[2J\r\n\r\n".to_vec()));
        let error = ask(&mut guard, "git.example:22").unwrap_err();
        assert_eq!(error.to_string(), r"the guard answered `HTTP/1.1 403 \u{1b}[2J`");
    }
}
