//! The guard as a process, raw requests to it, and the fixtures around it.

pub(crate) mod certificates;
mod dns;
mod guard;
pub(crate) mod h2;
pub(crate) mod held;
mod hello;
pub(crate) mod inside;
mod relay;
mod upstream;

pub(crate) use dns::Dns;
pub(crate) use guard::{Guard, binary};
pub(crate) use hello::client_hello;
pub(crate) use relay::{free_port, relay, relay_with};
pub(crate) use upstream::Upstream;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// Longest wait for anything; passing tests never come near.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The code of a refusal, which header and body have to agree on.
    pub(crate) fn code(&self) -> &str {
        let code = self.header("x-egress-reason").unwrap_or_else(|| panic!("no refusal: {self:?}"));
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["code"], code);
        assert_eq!(body["error"], "egress_denied");
        code
    }
}

/// Opens a connection to the guard.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends raw bytes and reads until the guard closes. What is sent may be cut off by a refusal.
pub(crate) fn send(to: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = connect(to);
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    Answer::parse(&read_all(&mut stream))
}

/// A policy by which these names lead to the upstream.
pub(crate) fn allowing(upstream: &Upstream, names: &[&str]) -> Value {
    let port = upstream.port;
    let rules: Vec<_> = names.iter().map(|name| json!({ "rule": format!("{name}:{port}") })).collect();
    json!({
        "rules": rules,
        "hosts": { "ok.test": ["127.0.0.1"], "other.test": ["127.0.0.1"] },
        "private": [
            { "host": "ok.test", "range": "127.0.0.1/32" },
            { "host": "other.test", "range": "127.0.0.1/32" },
        ],
    })
}

/// Reads until the other side closes or breaks off.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// Reads one answer with a Content-Length, leaving the connection open.
pub(crate) fn read_answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "ended in {:?}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    let head = Answer::parse(&bytes);
    let length = head.header("content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    bytes.extend_from_slice(&body);
    Answer::parse(&bytes)
}

/// Opens a tunnel and returns its stream behind the answer.
pub(crate) fn open_tunnel(to: SocketAddr, authority: &str) -> TcpStream {
    let mut stream = connect(to);
    write!(stream, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!(answer.status, 200, "{answer:?}");
    stream
}

/// A plain GET in absolute form.
pub(crate) fn get(authority: &str, path: &str) -> Vec<u8> {
    format!("GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
        .into_bytes()
}
