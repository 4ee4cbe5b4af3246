//! The client's side of CONNECT: asks a proxy for a tunnel and reads its answer, and not a byte of what follows.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// The longest answer that is read.
const MAX_HEAD: usize = 8 * 1024;

/// Asks for a tunnel to `place`, written `host:port`; returns the status of the answer, or `None` when it is not HTTP.
///
/// `authorization` is the value of `Proxy-Authorization`.
pub(crate) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    place: &str,
    authorization: Option<&[u8]>,
) -> io::Result<Option<u16>> {
    let mut head = Zeroizing::new(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n").into_bytes());
    if let Some(value) = authorization {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await?;
    read_status(stream).await
}

/// Reads the head byte by byte, since what follows belongs to the tunnel.
async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Ok(None);
        }
        head.push(stream.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let is_http = words.next().is_some_and(|version| version.starts_with(b"HTTP/1."));
    let status = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    Ok(status.filter(|_| is_http))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(answer: &[u8], expected: Result<Option<u16>, io::ErrorKind>, rest: &[u8]) {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let status = ask(&mut near, "a.test:443", None).await.map_err(|error| error.kind());
        assert_eq!(status, expected, "{}", answer.escape_ascii());
        let mut left = Vec::new();
        near.read_to_end(&mut left).await.unwrap();
        assert_eq!(left, rest);
    }

    #[tokio::test]
    async fn the_answer_is_read_and_nothing_behind_it() {
        check(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nSSH-2.0-x", Ok(Some(200)), b"SSH-2.0-x").await;
        check(b"HTTP/1.0 407 Who\r\n\r\n", Ok(Some(407)), b"").await;
        check(b"SSH-2.0-x\r\n\r\n", Ok(None), b"").await;
        check(b"HTTP/1.1 200 OK\r\n", Err(io::ErrorKind::UnexpectedEof), b"").await;
        check(&[b'x'; MAX_HEAD], Ok(None), b"").await;
    }

    #[tokio::test]
    async fn the_credentials_go_with_the_request() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        ask(&mut near, "[::1]:22", Some(b"Basic eDp5")).await.unwrap();
        drop(near);
        let mut asked = String::new();
        far.read_to_string(&mut asked).await.unwrap();
        let expected =
            "CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\nProxy-Authorization: Basic eDp5\r\n\r\n";
        assert_eq!(asked, expected);
    }
}
