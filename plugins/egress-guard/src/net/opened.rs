//! The inside of a tunnel that was opened: the server's end of TLS over a client's stream.
//!
//! Its two directions are apart, since a body is read while the answer is written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{Acceptor, ClientHello};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::stream::Stream;

/// Bytes read at once: an idle tunnel holds as many.
const READ_SIZE: usize = 4 * 1024;

/// The inside of an opened tunnel.
#[derive(Debug)]
pub struct Opened {
    read: Mutex<ReadHalf<TlsStream<Outside>>>,
    write: Mutex<WriteHalf<TlsStream<Outside>>>,
}

/// A client whose hello has been read.
pub(crate) struct Hello(StartHandshake<Outside>);

impl Hello {
    /// Reads the hello, whose first bytes have come.
    pub(crate) async fn read(client: Arc<Stream>, first: BytesMut) -> io::Result<Self> {
        let outside = Outside { stream: client, first };
        LazyConfigAcceptor::new(Acceptor::default(), outside).await.map(Self)
    }

    pub(crate) fn client_hello(&self) -> ClientHello<'_> {
        self.0.client_hello()
    }

    /// Ends the handshake, as this server.
    pub(crate) async fn answer(self, config: Arc<ServerConfig>) -> io::Result<TlsStream<Outside>> {
        self.0.into_stream(config).await
    }
}

impl Opened {
    pub(crate) fn new(stream: TlsStream<Outside>) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self { read: Mutex::new(read), write: Mutex::new(write) }
    }

    /// Appends what is there to `into`, waiting for the first byte; 0 at the end. Nothing is lost when this is given up.
    pub(super) async fn read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let mut half = self.read.lock().await;
        into.reserve(READ_SIZE);
        half.read_buf(into).await
    }

    /// Writes everything.
    pub(super) async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut half = self.write.lock().await;
        half.write_all(bytes).await?;
        half.flush().await
    }

    /// Says that nothing more will be written: what came before is whole.
    pub(super) async fn end(&self) -> io::Result<()> {
        self.write.lock().await.shutdown().await
    }
}

/// The stream below, with the bytes that were read from it already.
#[derive(Debug)]
pub(crate) struct Outside {
    stream: Arc<Stream>,
    first: BytesMut,
}

impl AsyncRead for Outside {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(into.remaining());
            into.put_slice(&self.first[..count]);
            self.first.advance(count);
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.stream.poll_readable(context))?;
            match self.stream.try_read(into.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Outside {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_writable(context))?;
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.shutdown_write();
        Poll::Ready(Ok(()))
    }
}
