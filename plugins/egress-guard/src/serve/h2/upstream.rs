//! The connection to the host: one for all streams of a client, made again when it has ended.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request as Outgoing, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::super::admit::{self, Denial};
use super::super::request::Request;
use super::super::state::{Server, Snapshot};
use super::super::upstream::{Body, failed};
use super::super::upstream_tls;
use super::{CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW};
use crate::http::destination::Destination;
use crate::tls::HTTP2;

/// A connection with the configuration that allowed it, over which nothing has been said.
pub(crate) type Shaken = (Arc<Snapshot>, Box<TlsStream<TcpStream>>);

/// The connections of one client's streams: they end with it.
pub(crate) struct Connections {
    state: Mutex<State>,
}

struct State {
    shaken: Option<Shaken>,
    open: Option<Open>,
    tasks: JoinSet<()>,
}

/// A connection that takes requests.
#[derive(Clone)]
pub(super) struct Open {
    snapshot: Arc<Snapshot>,
    /// What was dialled, when the guard has looked it up itself.
    pub(super) address: Option<IpAddr>,
    sender: SendRequest<Body>,
}

impl Connections {
    pub(crate) fn new(shaken: Option<Shaken>) -> Self {
        Self { state: Mutex::new(State { shaken, open: None, tasks: JoinSet::new() }) }
    }

    /// Returns a connection to the place: the one there is, or a new one.
    pub(super) async fn get(
        &self,
        server: &Server,
        request: &Request,
        wanted: &Destination,
    ) -> Result<Open, Denial> {
        let mut state = self.state.lock().await;
        let is_fit =
            |open: &&Open| Arc::ptr_eq(&open.snapshot, &request.snapshot) && !open.sender.is_closed();
        if let Some(open) = state.open.as_ref().filter(is_fit) {
            return Ok(open.clone());
        }
        let snapshot = &request.snapshot;
        let shaken = state.shaken.take().filter(|(made, _)| Arc::ptr_eq(made, snapshot));
        let stream = match shaken {
            Some((_, stream)) => *stream,
            None => {
                let stream = admit::connect(server, snapshot, wanted).await?;
                upstream_tls::connect(snapshot, &wanted.host, (stream, vec![HTTP2.to_vec()])).await?
            }
        };
        let address = admit::dialled(snapshot, wanted, stream.get_ref().0);
        let sender = speak(stream, snapshot, &mut state.tasks).await?;
        let open = Open { snapshot: Arc::clone(snapshot), address, sender };
        // Streams of one before go on over it: it ends with the last of them.
        state.open = Some(open.clone());
        Ok(open)
    }
}

async fn speak(
    stream: TlsStream<TcpStream>,
    snapshot: &Snapshot,
    tasks: &mut JoinSet<()>,
) -> Result<SendRequest<Body>, Denial> {
    if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
        return Err(failed().detail("the host does not speak HTTP/2"));
    }
    let most = u32::try_from(snapshot.config.limits.max_header_bytes).unwrap_or(u32::MAX);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(most)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| failed())?;
    // Errors of the connection reach the requests in flight as well.
    tasks.spawn(async move {
        connection.await.ok();
    });
    Ok(sender)
}

impl Open {
    /// Sends a request. When the connection turns out to be closed before it was used, the request comes back.
    pub(super) async fn send(
        &mut self,
        request: Outgoing<Body>,
    ) -> Result<Response<Incoming>, Option<Outgoing<Body>>> {
        self.sender.try_send_request(request).await.map_err(|mut error| error.take_message())
    }
}
