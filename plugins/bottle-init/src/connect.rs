//! A way through the guard for programs that speak no HTTP: `ssh` runs this as its `ProxyCommand`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use crate::InitError;
use crate::error::StepExt;
use crate::relay::copy;

/// The longest answer head that is read.
const MAX_HEAD: usize = 8 * 1024;

/// Asks the proxy for a tunnel and joins it to standard input and output.
///
/// # Errors
/// Fails when the proxy refuses or goes away.
pub fn run(proxy: &OsStr, host: &OsStr, port: &OsStr) -> Result<(), InitError> {
    let (Some(proxy), Some(host), Some(port)) = (proxy.to_str(), host.to_str(), port.to_str()) else {
        return Err(InitError::ReadCommandLine);
    };
    let mut tunnel = TcpStream::connect(proxy).step(|| format!("connect to the guard at `{proxy}`"))?;
    ask(&mut tunnel, host, port)?;
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

fn ask(tunnel: &mut (impl Read + Write), host: &str, port: &str) -> Result<(), InitError> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    tunnel.write_all(request.as_bytes()).step(|| "ask the guard")?;
    let mut head = Vec::new();
    // Byte by byte, since what follows the head belongs to the tunnel.
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        let mut byte = [0];
        tunnel.read_exact(&mut byte).step(|| "hear the guard's answer")?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    if head.starts_with("HTTP/1.1 200 ") || head.starts_with("HTTP/1.0 200 ") {
        return Ok(());
    }
    let line: String = head.lines().next().unwrap_or_default().chars().take(200).collect();
    Err(InitError::PassGuard { answer: line.escape_default().to_string() })
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
        ask(&mut guard, "git.example", "22").unwrap();
        assert!(guard.0.starts_with(b"CONNECT git.example:22 HTTP/1.1\r\n"));
        let mut rest = String::new();
        guard.1.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "SSH-2.0-x");
    }

    #[test]
    fn a_refusal_is_escaped() {
        let mut guard = Guard(Vec::new(), Cursor::new(b"HTTP/1.1 403 \x1b[2J\r\n\r\n".to_vec()));
        let error = ask(&mut guard, "git.example", "22").unwrap_err();
        assert_eq!(error.to_string(), r"the guard answered `HTTP/1.1 403 \u{1b}[2J`");
    }
}
