//! The server behind every proxy: it lives in this process, so that its cost is the same for all.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

const SMALL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// Bytes written or read at once.
const PIECE: usize = 64 * 1024;

/// Serves on a free port of loopback until the runtime ends.
pub(crate) async fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            // A proxy may break off as it likes; what matters is seen on the client's side.
            tokio::spawn(async move { answer_all(stream).await.ok() });
        }
    });
    Ok(address)
}

pub(super) async fn answer_all(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        discard(&mut stream, &mut buffer, content_length(&head).unwrap_or(0)).await?;
        match head.split(' ').nth(1).and_then(|path| path.strip_prefix("/bytes/")) {
            Some(count) => send(&mut stream, count.parse().map_err(io::Error::other)?).await?,
            None => {
                stream.write_all(SMALL).await?;
                stream.flush().await?;
            }
        }
        if closes(&head) {
            return Ok(());
        }
    }
}

/// Reads a body of which the first bytes may be in `buffer` already.
async fn discard(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<()> {
    let here = length.min(buffer.len());
    buffer.drain(..here);
    let mut rest = length - here;
    let mut piece = vec![0; if rest > 0 { PIECE } else { 0 }];
    while rest > 0 {
        let most = rest.min(PIECE);
        let count = stream.read(&mut piece[..most]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        rest -= count;
    }
    Ok(())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), mut count: usize) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n").as_bytes()).await?;
    let piece = vec![b'x'; PIECE];
    while count > 0 {
        let written = stream.write(&piece[..count.min(PIECE)]).await?;
        count -= written;
    }
    stream.flush().await?;
    Ok(())
}

/// Returns the length that a head names.
pub(crate) fn content_length(head: &str) -> Option<usize> {
    value(head, "content-length")?.parse().ok()
}

fn closes(head: &str) -> bool {
    value(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        || head.starts_with("HTTP/1.0")
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
