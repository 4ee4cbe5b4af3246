//! The question to the guard: at which ports may a name be reached?

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::connect::{MAX_HEAD, head_length};
use crate::relay::reach;

/// How long the guard may take. It looks nothing up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the guard says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be reached at these ports.
    Open(Vec<u16>),
    /// It may not, which the guard has written down.
    Refused,
    /// The guard cannot be asked, or cannot say.
    Unknown,
}

/// Asks the guard at a socket.
pub(super) fn ask(guard: &Path, name: &str) -> Verdict {
    exchange(guard, name).map_or(Verdict::Unknown, |answer| read(&answer))
}

/// Sends the question, and returns the head of the answer.
fn exchange(guard: &Path, name: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::from(reach(guard)?);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "RESOLVE {name} HTTP/1.1\r\n\r\n")?;
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    while head_length(&answer).is_none() && answer.len() < MAX_HEAD {
        match stream.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    Ok(answer)
}

/// Reads the head of an answer. Refused is what is refused for good, and for what a name is.
fn read(answer: &[u8]) -> Verdict {
    let head = head_length(answer).and_then(|length| std::str::from_utf8(&answer[..length]).ok());
    let mut lines = head.unwrap_or_default().lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    match status.and_then(|rest| rest.split(' ').next()) {
        Some("200") => {}
        Some("400" | "403") => return Verdict::Refused,
        _ => return Verdict::Unknown,
    }
    let ports = lines.find_map(|line| line.strip_prefix("X-Egress-Ports: "));
    let ports = ports.map(|ports| ports.split(' ').map(str::parse).collect::<Result<Vec<u16>, _>>());
    ports.and_then(Result::ok).map_or(Verdict::Unknown, Verdict::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_the_ports_or_refuses() {
        let check = |text: &str, expected: Verdict| assert_eq!(read(text.as_bytes()), expected, "{text}");
        check("HTTP/1.1 200 OK\r\nX-Egress-Ports: 80 443\r\n\r\n", Verdict::Open(vec![80, 443]));
        check("HTTP/1.1 403 Forbidden\r\nX-Egress-Reason: not_in_allowlist\r\n\r\n{}", Verdict::Refused);
        check("HTTP/1.1 400 Bad Request\r\n\r\n", Verdict::Refused);
        for odd in [
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-Egress-Ports: 80 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-Egress-Ports: 70000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-Egress-Ports: 80",
            "",
        ] {
            check(odd, Verdict::Unknown);
        }
    }

    #[test]
    fn without_a_guard_nothing_is_known() {
        assert_eq!(ask(Path::new("/nowhere/guard.sock"), "a.test"), Verdict::Unknown);
    }
}
