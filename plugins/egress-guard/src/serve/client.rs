//! One client connection, or the inside of an opened tunnel: reads a request, has it decided, and reads the next.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Limits, LogEvent, Scheme};

use super::admit::{self, Denial};
use super::asking;
use super::caught::{self, Place, Preface, Role};
use super::forward::{self, Dialled};
use super::ledger::Ledger;
use super::request::Request;
use super::state::{Server, Snapshot};
use super::upstream::Upstream;
use super::{LINGER, exchange, tunnel, words};
use crate::http::destination::Destination;
use crate::http::head::{self, HeadError, RequestHead};
use crate::http::response;
use crate::net::listen::Peer;
use crate::net::stream::Stream;

/// A connected client.
pub(crate) struct Client {
    pub(crate) server: Arc<Server>,
    pub(crate) stream: Arc<Stream>,
    /// Bytes that arrived and are not yet used.
    pub(crate) buffer: BytesMut,
    /// The upstream connection of the last plain request, kept for the next one to the same place.
    pub(crate) upstream: Option<Upstream>,
    /// The connection that was made for an opened tunnel, for its first request, with the configuration that allowed it.
    pub(super) dialled: Option<(Arc<Snapshot>, Dialled)>,
    /// What the client takes the guard for.
    pub(super) role: Role,
    /// Writes what happens to the log.
    pub(super) ledger: Ledger,
    /// Whether the client has stayed, to ask for something.
    pub(super) has_asked: bool,
}

/// Whether the connection can carry another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Keep,
    Close,
    /// It cannot, and the last answer is not whole: the connection must not end as if it were.
    Break,
}

/// Serves a client until it leaves or a request ends the connection.
pub(crate) async fn serve(server: Arc<Server>, stream: Stream, peer: Peer) {
    let id = server.next_connection();
    let ledger = Ledger::new(&server, peer, id);
    let mut client = Client::new(server, stream, Role::Proxy, ledger);
    while client.serve_one().await == Next::Keep {}
}

impl Client {
    fn new(server: Arc<Server>, stream: Stream, role: Role, ledger: Ledger) -> Self {
        Self {
            server,
            stream: Arc::new(stream),
            buffer: BytesMut::new(),
            upstream: None,
            dialled: None,
            role,
            ledger,
            has_asked: false,
        }
    }

    /// Returns the client within an opened tunnel to a place.
    pub(super) fn inside(
        &self,
        stream: Stream,
        place: Place,
        dialled: Option<(Arc<Snapshot>, Dialled)>,
    ) -> Self {
        let server = Arc::clone(&self.server);
        let inside = Self::new(server, stream, Role::Opened(place), self.ledger.inside());
        Self { dialled, ..inside }
    }

    pub(super) async fn serve_one(&mut self) -> Next {
        let server = Arc::clone(&self.server);
        let limits = server.snapshot().config.limits.clone();
        let read = tokio::select! {
            read = self.read_head(&limits) => read,
            () = server.stopped() => return Next::Close,
        };
        // Taken after the head has arrived, so that a reload counts for every later request.
        let mut request = Request::new(server.snapshot());
        let mut head = match read {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close,
            Err(denial) => {
                request.describe("", &self.role.authority());
                return self.refuse(&request, denial).await;
            }
        };
        match Preface::of(&head).filter(|_| self.role == Role::Proxy) {
            // The rest of such a connection may last, and this future with it.
            Some(Preface::Catch) => return Box::pin(caught::catch(self, request, &head)).await,
            Some(Preface::Resolve) => return caught::resolve(self, request, &head).await,
            Some(Preface::Words(words)) => return words::answer(self, request, (words, &head)).await,
            None => {}
        }
        let completed = self.role.complete(&mut head);
        request.describe(&head.method, &self.role.target(&head));
        match completed {
            Ok(()) => self.serve_head(request, &head).await,
            Err(denial) => self.refuse(&request, denial).await,
        }
    }

    /// Decides a request and carries what is allowed.
    pub(super) async fn serve_head(&mut self, mut request: Request, head: &RequestHead) -> Next {
        let wanted = match self.role.destination(head) {
            Ok(wanted) => wanted,
            Err(error) => return self.refuse(&request, Denial::new(error.code(), error.to_string())).await,
        };
        request.resolve_to(&wanted.host, wanted.port);
        let is_shown = request.snapshot.config.log.exchanges && wanted.scheme == Scheme::Http;
        if wanted.scheme == Scheme::Https || is_shown {
            request.describe_path(&wanted.path);
        }
        self.serve_request(&mut request, head, &wanted).await
    }

    async fn serve_request(
        &mut self,
        request: &mut Request,
        head: &RequestHead,
        wanted: &Destination,
    ) -> Next {
        let mut decided = exchange::admit(&self.ledger, request, head, wanted);
        if let Err(denial) = decided {
            // One that was allowed while it waited is decided by that policy, as if it had come now.
            let decide = |snapshot: &Snapshot| admit::decide(snapshot, wanted, &head.method);
            decided = match asking::wait(self, request, decide, denial).await.decided() {
                Ok(_) => exchange::admit(&self.ledger, request, head, wanted),
                Err(denial) => Err(denial),
            };
        }
        let decision = match decided {
            Ok(decision) => decision,
            Err(denial) => return self.refuse(request, denial).await,
        };
        let served = match wanted.scheme {
            Scheme::Connect => tunnel::serve(self, request, head, (wanted, &decision)).await,
            Scheme::Http | Scheme::Https => forward::serve(self, request, head, (wanted, &decision)).await,
        };
        match served {
            Ok(next) => next,
            Err(denial) => self.refuse(request, denial.after(&decision)).await,
        }
    }

    /// Reads until a head is complete; nothing when the client leaves before it begins one.
    async fn read_head(&mut self, limits: &Limits) -> Result<Option<RequestHead>, Denial> {
        if matches!(self.role, Role::Opened(_)) && !self.wakes(limits).await {
            return Ok(None);
        }
        let limit = Duration::from_secs(limits.header_timeout_seconds);
        let complete = tokio::time::timeout(limit, self.read_until_complete(limits)).await;
        match complete {
            Ok(result) => result,
            // A kept connection on which nothing comes is closed without a word.
            Err(_) if self.buffer.is_empty() => Ok(None),
            Err(_) => Err(Denial::new(Code::Timeout, "the request head did not arrive in time")),
        }
    }

    /// Waits for the first byte of a request in an opened tunnel, which may be as idle as any other tunnel.
    async fn wakes(&mut self, limits: &Limits) -> bool {
        let limit = Duration::from_secs(limits.idle_timeout_seconds);
        if self.buffer.is_empty() {
            let read = tokio::time::timeout(limit, self.stream.read(&mut self.buffer)).await;
            // One that is silent has not left.
            self.has_asked |= !matches!(read, Ok(Ok(0) | Err(_)));
        }
        !self.buffer.is_empty()
    }

    async fn read_until_complete(&mut self, limits: &Limits) -> Result<Option<RequestHead>, Denial> {
        let mut seen = 0;
        loop {
            if let Some(end) = head::find_end(&self.buffer, seen).map_err(bad)? {
                if end > limits.max_header_bytes {
                    return Err(bad(HeadError::TooLong));
                }
                let bytes = self.buffer.split_to(end);
                return head::parse(&bytes, limits.max_headers).map(Some).map_err(bad);
            }
            seen = self.buffer.len();
            if seen > limits.max_header_bytes {
                return Err(bad(HeadError::TooLong));
            }
            if !matches!(self.stream.read(&mut self.buffer).await, Ok(1..)) {
                return Ok(None);
            }
        }
    }

    /// Writes a few bytes to the client, which may have stopped reading; not longer than a moment, nor than the guard runs.
    pub(crate) async fn tell(&self, bytes: &[u8]) -> bool {
        tokio::select! {
            // What the socket takes at once is written even when the guard stops.
            biased;
            told = tokio::time::timeout(LINGER, self.stream.write_all(bytes)) => matches!(told, Ok(Ok(()))),
            () = self.server.stopped() => false,
        }
    }

    /// Tells the client why, writes the log line, and ends the connection.
    pub(crate) async fn refuse(&mut self, request: &Request, denial: Denial) -> Next {
        let denial = request.masked(denial);
        let answer = match self.role {
            Role::Tunnel { is_tls: true } => tunnel::ALERT.to_vec(),
            Role::Tunnel { is_tls: false } => Vec::new(),
            Role::Proxy | Role::Plain(_) | Role::Opened(_) => response::refusal(&request.refusal(&denial)),
        };
        self.ledger.denied(request, LogEvent::Request, denial).await;
        if self.tell(&answer).await {
            self.stream.linger(LINGER).await;
        }
        Next::Close
    }
}

pub(super) fn bad(error: HeadError) -> Denial {
    Denial::new(error.code(), error.to_string())
}

/// The client broke off. Nobody reads the answer, but the log has its line.
pub(super) fn gone() -> Denial {
    Denial::new(Code::Timeout, "the client broke off")
}
