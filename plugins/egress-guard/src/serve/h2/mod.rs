//! HTTP/2 in an opened tunnel: each stream is a request of its own, decided and inspected like any other.
//!
//! Both sides speak it, or neither does. One connection of a client is one to its host, so that what the one does not take, the
//! other does not send.

mod head;
mod reply;
mod stream;
mod upstream;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub(super) use self::upstream::Connections;
use super::caught::Place;
use super::ledger::Ledger;
use super::state::Server;

/// Streams of one client at once.
const STREAMS: u32 = 64;
/// Bytes of one stream that may be under way, in either direction.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Bytes of all streams of a connection that may be under way.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of one stream that wait to be written.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may reset before they are looked at; one more ends the connection.
const PENDING_RESETS: usize = 20;
/// Streams that may be reset here for faults of the client; one more ends the connection.
const FAULTY_RESETS: usize = 128;

/// The guard's side of one client's connection.
pub(super) struct Front {
    server: Arc<Server>,
    ledger: Ledger,
    place: Place,
    connections: Connections,
    has_asked: AtomicBool,
    /// How many streams there are.
    streams: watch::Sender<usize>,
}

impl Front {
    /// Returns the front for a place, whose connection may have been made.
    pub(super) fn new(
        (server, ledger): (&Arc<Server>, Ledger),
        place: Place,
        connections: Connections,
    ) -> Self {
        let (server, streams) = (Arc::clone(server), watch::Sender::new(0));
        Self { server, ledger, place, connections, has_asked: AtomicBool::new(false), streams }
    }

    /// Serves a client until it leaves, is idle for too long, or the guard stops. Returns whether it has asked for anything, and
    /// what was moved up and down.
    pub(super) async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> (bool, (u64, u64)) {
        let front = Arc::new(self);
        let service = service_fn(|request| {
            let front = Arc::clone(&front);
            async move { Ok::<_, Infallible>(stream::answer(front, request).await) }
        });
        let limits = front.server.snapshot().config.limits.clone();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(FAULTY_RESETS);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let idle = Duration::from_secs(limits.idle_timeout_seconds);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = front.idle(idle) => None,
            () = front.server.stopped() => None,
        };
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(super::LINGER, connection).await.ok();
        }
        (front.has_asked.load(Ordering::Relaxed), front.ledger.moved().bytes())
    }

    /// Waits until there has been no stream for so long.
    async fn idle(&self, limit: Duration) {
        let mut streams = self.streams.subscribe();
        loop {
            // The sender lives as long as `self`.
            streams.wait_for(|count| *count == 0).await.ok();
            tokio::select! {
                () = tokio::time::sleep(limit) => return,
                _ = streams.wait_for(|count| *count > 0) => {}
            }
        }
    }
}
