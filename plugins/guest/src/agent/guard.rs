//! The way to the guard: its socket, or the proxy that the environment names where a network leads to it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;

use crate::GuestError;
use crate::connect::{MAX_HEAD, head_length};
use crate::error::StepExt;

/// Where backends put the guard's socket: in a bottle on bubblewrap or Podman, on docker, and in a Pod.
const SOCKETS: [&str; 3] = [
    "/run/claude-bottle/egress/guard.sock",
    "/run/claude-bottle-link/guard/guard.sock",
    "/run/claude-bottle/link/egress/guard.sock",
];

/// The longest answer that is read: a policy may have many rules.
const MOST_ANSWER: u64 = 1 << 20;

/// What a refusal says.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    reason: String,
}

/// Sends a question, and returns the document that answers it.
pub(super) fn ask(question: &str) -> Result<String, GuestError> {
    let sockets = SOCKETS.map(Path::new);
    match sockets.iter().find(|socket| socket.exists()) {
        Some(socket) => {
            let stream = UnixStream::connect(socket).step(|| "reach the guard")?;
            exchange(stream, question)
        }
        None => {
            let proxy = ["http_proxy", "HTTP_PROXY"].iter().find_map(|name| std::env::var(name).ok());
            let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no guard in this bottle");
            let proxy = proxy.as_deref().and_then(address).ok_or_else(missing).step(|| "find the guard")?;
            let stream = TcpStream::connect(proxy).step(|| format!("reach the guard at `{proxy}`"))?;
            exchange(stream, question)
        }
    }
}

/// Returns host and port of a proxy's URL.
fn address(url: &str) -> Option<&str> {
    let address = url.strip_prefix("http://")?;
    Some(address.strip_suffix('/').unwrap_or(address))
}

fn exchange(mut guard: impl Read + Write, question: &str) -> Result<String, GuestError> {
    guard.write_all(question.as_bytes()).step(|| "ask the guard")?;
    let mut answer = Vec::new();
    // An end that is broken off shows in the document.
    guard.take(MOST_ANSWER).read_to_end(&mut answer).step(|| "hear the guard's answer")?;
    read(&answer)
}

/// Returns the document of an answer. A refusal is an error with its reason.
fn read(answer: &[u8]) -> Result<String, GuestError> {
    let length = head_length(&answer[..answer.len().min(MAX_HEAD)]);
    let (head, body) = answer.split_at(length.unwrap_or_default());
    let (head, body) = (String::from_utf8_lossy(head), String::from_utf8_lossy(body));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next());
    if status == Some("200") && head.contains("\r\nContent-Type: application/json\r\n") {
        return Ok(body.into_owned());
    }
    let reason = serde_json::from_str::<Refusal>(&body).map(|refusal| refusal.reason).unwrap_or_default();
    let said = match (reason.is_empty(), status) {
        (false, _) => reason,
        (true, Some(status)) => {
            format!("status {status}: the proxy of this bottle does not know the command")
        }
        (true, None) => "no answer".to_owned(),
    };
    Err(GuestError::PassGuard { answer: said.chars().take(300).flat_map(char::escape_debug).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_document_and_a_refusal_its_reason() {
        let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}\n";
        assert_eq!(read(json.as_bytes()).unwrap(), "{}\n");
        for (answer, said) in [
            (
                "HTTP/1.1 403 Forbidden\r\nX-Egress-Reason: dlp_secret\r\n\r\n{\"reason\":\"a \\u001b[2J secret\"}",
                "a \\u{1b}[2J secret",
            ),
            ("HTTP/1.1 400 Bad Request\r\n\r\nno", "status 400: the proxy"),
            ("HTTP/1.1 200 OK\r\n\r\nhello", "status 200: the proxy"),
            ("", "no answer"),
        ] {
            let error = read(answer.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_proxy_is_read_from_its_url() {
        for (url, expected) in [
            ("http://127.0.0.1:8888", Some("127.0.0.1:8888")),
            ("http://172.18.0.2:8888/", Some("172.18.0.2:8888")),
            ("socks5://a.test:1", None),
            ("", None),
        ] {
            assert_eq!(address(url), expected);
        }
    }
}
