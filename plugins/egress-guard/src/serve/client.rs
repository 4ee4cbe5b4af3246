//! One client connection: reads a request, has it decided anew, and reads the next.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Decision, Limits, LogEvent, LogRecord, Scheme, Verdict};

use super::admit::{self, Denial};
use super::state::{Server, Snapshot};
use super::upstream::Upstream;
use super::{LINGER, forward, tunnel};
use crate::clock;
use crate::dlp::{Finding, Findings};
use crate::http::destination::{Destination, destination};
use crate::http::head::{self, HeadError, RequestHead};
use crate::http::response;
use crate::net::listen::Peer;
use crate::net::splice::Activity;
use crate::net::stream::Stream;

/// Characters of an unreadable host that are logged.
const MAX_LOGGED_TARGET: usize = 128;

/// A connected client.
pub(crate) struct Client {
    pub(crate) server: Arc<Server>,
    pub(crate) stream: Stream,
    /// Bytes that arrived and are not yet used.
    pub(crate) buffer: BytesMut,
    /// The upstream connection of the last plain request, kept for the next one to the same place.
    pub(crate) upstream: Option<Upstream>,
    peer: Peer,
    id: u64,
}

/// What one request is about, for the log and for refusals.
pub(crate) struct Request {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) activity: Activity,
    /// What inspection found and let pass.
    warning: OnceLock<Finding>,
    time: String,
    method: String,
    host: String,
    port: u16,
}

/// Whether the connection can carry another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Keep,
    Close,
}

/// Serves a client until it leaves or a request ends the connection.
pub(crate) async fn serve(server: Arc<Server>, stream: Stream, peer: Peer) {
    let id = server.next_connection();
    let mut client = Client { server, stream, buffer: BytesMut::new(), upstream: None, peer, id };
    while client.serve_one().await == Next::Keep {}
}

impl Client {
    async fn serve_one(&mut self) -> Next {
        let server = Arc::clone(&self.server);
        let limits = server.snapshot().config.limits.clone();
        let read = tokio::select! {
            read = self.read_head(&limits) => read,
            () = server.stopped() => return Next::Close,
        };
        // Taken after the head has arrived, so that a reload counts for every later request.
        let mut request = Request::new(server.snapshot());
        let head = match read {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close,
            Err(denial) => return self.refuse(&request, denial).await,
        };
        request.describe(&head);
        let wanted = match destination(&head) {
            Ok(wanted) => wanted,
            Err(error) => return self.refuse(&request, Denial::new(error.code(), error.to_string())).await,
        };
        request.resolve_to(&wanted);
        self.serve_request(&request, &head, &wanted).await
    }

    async fn serve_request(&mut self, request: &Request, head: &RequestHead, wanted: &Destination) -> Next {
        let decision = match admit::decide(&request.snapshot, wanted) {
            Ok(decision) => decision,
            Err(denial) => return self.refuse(request, denial).await,
        };
        // Before any lookup, since the name itself may carry something out.
        if let Err(denial) = request.note(request.snapshot.inspector.head(head, wanted)) {
            return self.refuse(request, denial.after(&decision)).await;
        }
        let served = match wanted.scheme {
            Scheme::Connect => tunnel::serve(self, request, head, (wanted, &decision)).await,
            Scheme::Http => forward::serve(self, request, head, (wanted, &decision)).await,
        };
        match served {
            Ok(next) => next,
            Err(denial) => self.refuse(request, denial.after(&decision)).await,
        }
    }

    /// Reads until a head is complete; nothing when the client leaves before it begins one.
    async fn read_head(&mut self, limits: &Limits) -> Result<Option<RequestHead>, Denial> {
        let limit = Duration::from_secs(limits.header_timeout_seconds);
        let complete = tokio::time::timeout(limit, self.read_until_complete(limits)).await;
        match complete {
            Ok(result) => result,
            // A kept connection on which nothing comes is closed without a word.
            Err(_) if self.buffer.is_empty() => Ok(None),
            Err(_) => Err(Denial::new(Code::Timeout, "the request head did not arrive in time")),
        }
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

    /// Tells the client why, writes the log line, and ends the connection.
    pub(crate) async fn refuse(&mut self, request: &Request, denial: Denial) -> Next {
        let answer = response::refusal(&response::Refusal {
            error: "egress_denied",
            code: denial.code,
            host: &request.host,
            port: request.port,
            rule: denial.rule.as_deref(),
            reason: &denial.reason,
            hint: denial.code.hint(),
        });
        self.log_denial(request, LogEvent::Request, denial).await;
        if matches!(tokio::time::timeout(LINGER, self.stream.write_all(&answer)).await, Ok(Ok(()))) {
            self.stream.linger(LINGER).await;
        }
        Next::Close
    }

    pub(crate) async fn log_denial(&self, request: &Request, event: LogEvent, denial: Denial) {
        let reason = match denial.detail {
            Some(detail) => format!("{}: {detail}", denial.reason),
            None => denial.reason,
        };
        let record = LogRecord { rule: denial.rule, origin: denial.origin, ..self.record(request, event) };
        self.server
            .logger
            .write(LogRecord { verdict: verdict(denial.code), code: code(denial.code), reason, ..record })
            .await;
    }

    pub(crate) async fn log_allowed(
        &self,
        request: &Request,
        event: LogEvent,
        decision: &Decision,
        reason: String,
    ) {
        let mut record = LogRecord {
            rule: decision.rule.clone(),
            origin: decision.origin.clone(),
            reason,
            ..self.record(request, event)
        };
        if let Some(finding) = request.warning.get() {
            record.verdict = Verdict::Warn;
            record.code = code(finding.code());
            record.reason = format!("{}; {finding}", record.reason);
        }
        self.server.logger.write(record).await;
    }

    fn record(&self, request: &Request, event: LogEvent) -> LogRecord {
        let (bytes_up, bytes_down) = request.activity.bytes();
        LogRecord {
            time: request.time.clone(),
            event,
            connection: self.id,
            bottle: request.snapshot.config.bottle.clone(),
            client: self.peer.to_string(),
            method: request.method.clone(),
            host: request.host.clone(),
            port: request.port,
            verdict: Verdict::Allow,
            rule: None,
            origin: None,
            code: code(Code::Allowed),
            reason: String::new(),
            bytes_up,
            bytes_down,
            duration_ms: u64::try_from(request.activity.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Request {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            activity: Activity::default(),
            warning: OnceLock::new(),
            time: clock::now(),
            method: String::new(),
            host: String::new(),
            port: 0,
        }
    }

    /// Takes what inspection found: the first warning is kept for the log, a blocking finding is a denial.
    pub(crate) fn note(&self, findings: Findings) -> Result<(), Denial> {
        if let Some(finding) = findings.warn {
            self.warning.get_or_init(|| finding);
        }
        match findings.block {
            Some(finding) => Err(Denial::new(finding.code(), finding.to_string())),
            None => Ok(()),
        }
    }

    /// Notes the target as sent, cut before the path, for a request whose host has no canonical form.
    fn describe(&mut self, head: &RequestHead) {
        self.method.clone_from(&head.method);
        let rest = head.target.split_once("://").map_or(head.target.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        self.host = authority.chars().take(MAX_LOGGED_TARGET).collect();
    }

    fn resolve_to(&mut self, wanted: &Destination) {
        self.host = wanted.host.to_string();
        self.port = wanted.port;
    }
}

pub(super) fn bad(error: HeadError) -> Denial {
    Denial::new(error.code(), error.to_string())
}

/// The client broke off. Nobody reads the answer, but the log has its line.
pub(super) fn gone() -> Denial {
    Denial::new(Code::Timeout, "the client broke off")
}

fn code(code: Code) -> String {
    code.as_str().to_owned()
}

/// What went wrong on the way of an allowed request is an error; everything else is a refusal.
fn verdict(code: Code) -> Verdict {
    match code {
        Code::NoSuchHost | Code::ResolveFailed | Code::NoResolver | Code::ConnectFailed => Verdict::Error,
        Code::UpstreamFailed | Code::Timeout | Code::Internal => Verdict::Error,
        _ => Verdict::Deny,
    }
}
