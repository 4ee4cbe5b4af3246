//! The measured client: one connection, and requests on it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::upstream::content_length;

/// Bytes of an answer read at once.
const PIECE: usize = 64 * 1024;

/// How a request gets to the upstream.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// The proxy; none for the direct way.
    pub(crate) proxy: Option<SocketAddr>,
    /// The upstream.
    pub(crate) upstream: SocketAddr,
    /// Whether a connection lasts longer than one plain request.
    pub(crate) keeps: bool,
    /// Whom to trust, where TLS is spoken in a tunnel or on the direct way.
    pub(crate) tls: Option<&'static Arc<ClientConfig>>,
}

/// What the client speaks over.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

impl Way {
    /// Opens a connection for plain requests.
    pub(crate) async fn open(self) -> anyhow::Result<Line> {
        Line::open(self.proxy.unwrap_or(self.upstream)).await
    }

    /// Opens a connection through a tunnel, when there is a proxy to open one.
    pub(crate) async fn tunnel(self) -> anyhow::Result<Line> {
        let mut line = self.open().await?;
        if self.proxy.is_some() {
            let to = self.place();
            let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
            line.stream.write_all(request.as_bytes()).await?;
            line.read_head().await.context("open a tunnel")?;
        }
        let Some(config) = self.tls else { return Ok(line) };
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, line.stream).await?;
        Ok(Line { stream: Box::new(stream), ..line })
    }

    /// Opens a connection for requests that the proxy sees: within TLS where it opens tunnels.
    pub(crate) async fn seen(self) -> anyhow::Result<Line> {
        if self.tls.is_some() { self.tunnel().await } else { self.open().await }
    }

    /// Returns a request of such a connection.
    pub(crate) fn get_seen(self, path: &str) -> Vec<u8> {
        if self.tls.is_some() { self.origin(path) } else { self.get(path) }
    }

    /// Returns the name or address of the upstream, with its port.
    fn place(self) -> String {
        match self.tls {
            Some(_) => format!("localhost:{}", self.upstream.port()),
            None => self.upstream.to_string(),
        }
    }

    /// Returns a plain request for `path`, in the form that a proxy wants when there is one.
    pub(crate) fn get(self, path: &str) -> Vec<u8> {
        match self.proxy {
            Some(_) => format!("GET http://{0}{path} HTTP/1.1\r\nHost: {0}\r\n\r\n", self.upstream).into(),
            None => self.origin(path),
        }
    }

    /// Returns the same request as it is inside a tunnel.
    pub(crate) fn origin(self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.place()).into()
    }

    /// Returns the head of a plain request with a body of `length` bytes.
    pub(crate) fn post(self, length: usize) -> Vec<u8> {
        let is_plain = self.proxy.is_some() && self.tls.is_none();
        let before = if is_plain { format!("http://{}", self.upstream) } else { String::new() };
        let place = self.place();
        format!("POST {before}/ HTTP/1.1\r\nHost: {place}\r\nContent-Length: {length}\r\n\r\n").into()
    }
}

/// One connection of the client.
pub(crate) struct Line {
    stream: Box<dyn Bytes>,
    buffer: Vec<u8>,
    piece: Vec<u8>,
}

impl Line {
    async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), buffer: Vec::with_capacity(1024), piece: Vec::new() })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    /// Sends a request whose body is `text` again and again, `times` times.
    pub(crate) async fn upload(&mut self, head: &[u8], text: &[u8], times: usize) -> anyhow::Result<()> {
        self.stream.write_all(head).await?;
        for _ in 0..times {
            self.stream.write_all(text).await?;
        }
        self.stream.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<()> {
        let head = self.read_head().await?;
        let length = content_length(&head).context("the answer has a length")?;
        let here = length.min(self.buffer.len());
        self.buffer.drain(..here);
        self.piece.resize(if length > here { PIECE } else { 0 }, 0);
        let mut rest = length - here;
        while rest > 0 {
            let most = rest.min(PIECE);
            let count = self.stream.read(&mut self.piece[..most]).await?;
            ensure!(count > 0, "the answer is cut off {rest} bytes before its end");
            rest -= count;
        }
        Ok(())
    }

    async fn read_head(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..at + 4]).into_owned();
                self.buffer.drain(..at + 4);
                ensure!(head.split(' ').nth(1) == Some("200"), "the answer is no 200: {head}");
                return Ok(head);
            }
            let count = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(count > 0, "the connection was closed before an answer");
        }
    }
}
