//! The connection to an upstream with which HTTP is spoken, plainly or within TLS.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use claude_bottle_egress_policy::{Code, HostOrIp};
use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::admit::Denial;
use super::state::Snapshot;
use crate::http::destination::Destination;

/// A request body: as it arrives, or whole, or none.
pub(crate) type Body = Either<Channel<Bytes, BodyAborted>, Full<Bytes>>;

/// The client's body ended before its end, so the upstream must not take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the request body was cut off")]
pub(crate) struct BodyAborted;

impl From<Infallible> for BodyAborted {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An open connection with the place it leads to.
pub(crate) struct Upstream {
    place: (HostOrIp, u16),
    snapshot: Arc<Snapshot>,
    /// What was dialled, when the guard has looked it up itself.
    pub(crate) address: Option<IpAddr>,
    sender: SendRequest<Body>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // A stalled upstream would otherwise keep the connection alive behind our back.
        self.task.abort();
    }
}

impl Upstream {
    /// Speaks HTTP/1.1 over a connection.
    pub(crate) async fn open(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        (wanted, address): (&Destination, Option<IpAddr>),
        snapshot: Arc<Snapshot>,
    ) -> Result<Self, Denial> {
        let limits = &snapshot.config.limits;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER))
            .max_headers(limits.max_headers)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| failed())?;
        // Errors of the connection reach the request in flight as well.
        let task = tokio::spawn(async move {
            connection.with_upgrades().await.ok();
        });
        Ok(Self { place: (wanted.host.clone(), wanted.port), snapshot, address, sender, task })
    }

    /// Tells whether the next request may use this connection: same place, same configuration, still open.
    pub(crate) fn fits(&self, wanted: &Destination, snapshot: &Arc<Snapshot>) -> bool {
        self.place == (wanted.host.clone(), wanted.port)
            && Arc::ptr_eq(&self.snapshot, snapshot)
            && self.sender.is_ready()
    }

    /// Sends a request. When the connection turns out to be closed before it was used, the request comes back.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Option<Request<Body>>> {
        self.sender.try_send_request(request).await.map_err(|mut error| error.take_message())
    }
}

/// Smallest buffer the HTTP library takes.
const MIN_BUFFER: usize = 8 * 1024;

/// The upstream broke off or sent something that is not HTTP.
pub(crate) fn failed() -> Denial {
    Denial::new(Code::UpstreamFailed, "the host gave no valid HTTP answer")
}
