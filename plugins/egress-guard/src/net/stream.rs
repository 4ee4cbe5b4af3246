//! One stream type over TCP and Unix sockets and within opened tunnels, read and written through a shared reference.
//!
//! Reads go through one buffer per thread, so that a thousand idle tunnels hold no buffers at all.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::Shutdown;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::opened::Opened;
use super::splice::Pipe;

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// The inside of an opened tunnel. It is read and written by itself, and never joined with another.
    Opened(Box<Opened>),
}

/// The inside of an opened tunnel has no socket of its own.
const NO_SOCKET: io::ErrorKind = io::ErrorKind::Unsupported;

impl Stream {
    /// Appends what is there to `into`, waiting for the first byte; 0 at the end of the stream.
    pub async fn read(&self, into: &mut BytesMut) -> io::Result<usize> {
        if let Self::Opened(opened) = self {
            return opened.read(into).await;
        }
        loop {
            self.readable().await?;
            let read = with_buffer(|buffer| {
                let count = self.try_read(buffer)?;
                into.extend_from_slice(&buffer[..count]);
                Ok(count)
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Moves what is there to `to`, waiting for the first byte; 0 at the end of the stream. Each piece `to` takes is noted.
    pub(super) async fn forward(&self, to: &Self, note: &impl Fn(usize)) -> io::Result<usize> {
        loop {
            self.readable().await?;
            let moved = with_buffer(|buffer| {
                let count = self.try_read(buffer)?;
                if count == 0 {
                    return Ok((0, Vec::new()));
                }
                let written = match to.try_write(&buffer[..count]) {
                    Ok(written) => written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error),
                };
                // Only what the receiver does not take at once gets memory of its own.
                Ok((count, buffer[written..count].to_vec()))
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok((0, _)) => return Ok(0),
                Ok((count, rest)) => {
                    note(count - rest.len());
                    to.write_all_noted(&rest, note).await?;
                    return Ok(count);
                }
            }
        }
    }

    /// Writes everything.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_noted(bytes, &|_| ()).await
    }

    /// Writes everything, and notes each piece that is taken.
    pub(super) async fn write_all_noted(&self, mut bytes: &[u8], note: &impl Fn(usize)) -> io::Result<()> {
        if let Self::Opened(opened) = self {
            opened.write_all(bytes).await?;
            note(bytes.len());
            return Ok(());
        }
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    note(written);
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written. A peer that has gone away is no fault here.
    pub fn shutdown_write(&self) {
        match self {
            Self::Tcp(stream) => rustix::net::shutdown(stream, Shutdown::Write).ok(),
            Self::Unix(stream) => rustix::net::shutdown(stream, Shutdown::Write).ok(),
            Self::Opened(_) => None,
        };
    }

    /// Says that nothing more will be written, in the way of the stream: within TLS by a word of its own.
    pub async fn end(&self) {
        match self {
            Self::Opened(opened) => opened.end().await.unwrap_or_default(),
            Self::Tcp(_) | Self::Unix(_) => self.shutdown_write(),
        }
    }

    /// Ends the stream so that what has been written still arrives.
    ///
    /// Closing with unread input makes the kernel send a reset, which can destroy the answer on its way:
    /// <https://www.rfc-editor.org/rfc/rfc9112#section-9.6>. So the input is drained, within bounds.
    pub async fn linger(&self, limit: Duration) {
        const MAX_DRAIN: usize = 1024 * 1024;
        let drain = async {
            self.end().await;
            let mut drained = 0;
            let mut sink = BytesMut::new();
            while drained < MAX_DRAIN {
                match self.read(&mut sink).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => drained += count,
                }
                sink.clear();
            }
        };
        tokio::time::timeout(limit, drain).await.ok();
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
            Self::Opened(_) => Err(NO_SOCKET.into()),
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
            Self::Opened(_) => Err(NO_SOCKET.into()),
        }
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::Opened(_) => Poll::Ready(Err(NO_SOCKET.into())),
        }
    }

    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
            Self::Opened(_) => Poll::Ready(Err(NO_SOCKET.into())),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
            Self::Opened(_) => Err(NO_SOCKET.into()),
        }
    }

    /// Moves what is there into a pipe. Does not wait.
    pub(super) fn try_fill(&self, pipe: &Pipe) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || pipe.fill(stream)),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || pipe.fill(stream)),
            Self::Opened(_) => Err(NO_SOCKET.into()),
        }
    }

    /// Moves `count` bytes of a pipe to the peer, or as many as it takes. Does not wait.
    pub(super) fn try_drain(&self, pipe: &Pipe, count: usize) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, || pipe.drain(stream, count)),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, || pipe.drain(stream, count)),
            Self::Opened(_) => Err(NO_SOCKET.into()),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Opened(_) => Err(NO_SOCKET.into()),
        }
    }
}

/// The buffer is borrowed for one synchronous call only, never over an await.
fn with_buffer<T>(work: impl FnOnce(&mut [u8]) -> io::Result<T>) -> io::Result<T> {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}
