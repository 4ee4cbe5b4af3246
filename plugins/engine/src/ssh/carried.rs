//! A connection that `ssh` carries: its end is an error when `ssh` itself has ended, and not what the engine had to say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::Tunnel;

/// What is wrong with a connection whose `ssh` has ended.
#[derive(Debug, Error)]
#[error("{reason}")]
pub(crate) struct Ended {
    /// Which `ssh`, and what it said.
    pub(crate) reason: String,
}

/// The connection.
pub(crate) struct Carried {
    stream: UnixStream,
    tunnel: Arc<Tunnel>,
}

impl Carried {
    /// Connects.
    pub(crate) async fn connect(tunnel: Arc<Tunnel>) -> io::Result<Self> {
        let stream = UnixStream::connect(tunnel.path()).await?;
        Ok(Self { stream, tunnel })
    }

    /// Returns the error of an end that is not the engine's.
    fn lost(&self) -> Option<io::Error> {
        let has_ended = self.tunnel.has_ended();
        has_ended.then(|| io::Error::new(io::ErrorKind::ConnectionReset, self.tunnel.ended()))
    }

    fn explained<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| self.lost().unwrap_or(error))
    }
}

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, has_room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        Poll::Ready(match read {
            Ok(()) if has_room && buffer.filled().len() == before => self.lost().map_or(Ok(()), Err),
            other => self.explained(other),
        })
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.explained(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
