//! CONNECT: opens the tunnel, looks at its beginning, and joins both ends.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Decision, LogEvent, Scheme};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::admit::{self, Denial};
use super::caught::Role;
use super::client::{Client, Next};
use super::client_hello::{self, Expected};
use super::opened::{self, Beginning};
use super::request::Request;
use crate::http::destination::Destination;
use crate::http::framing;
use crate::http::head::RequestHead;
use crate::http::response::TUNNEL_OPEN;
use crate::net::join::{self, End, Pair};
use crate::net::stream::Stream;

/// A fatal `access_denied` alert, <https://www.rfc-editor.org/rfc/rfc8446#section-6>, so that a TLS client reports a
/// refusal and not a broken line. It is unencrypted, as every answer to a ClientHello is.
pub(super) const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 49];

/// Carries one tunnel to its end.
pub(crate) async fn serve(
    client: &mut Client,
    request: &Request,
    head: &RequestHead,
    (wanted, decision): (&Destination, &Decision),
) -> Result<Next, Denial> {
    framing::body_length(head).map_err(|error| Denial::new(error.code(), error.to_string()))?;
    let server = Arc::clone(&client.server);
    let upstream = tokio::select! {
        connected = admit::connect(&server, &request.snapshot, wanted) => connected?,
        () = server.stopped() => return Ok(Next::Close),
    };
    // One that was caught takes this for the server already.
    if client.role == Role::Proxy && !client.tell(TUNNEL_OPEN).await {
        return Ok(Next::Close);
    }
    client.ledger.allowed(request, LogEvent::Request, decision, decision.reason.clone()).await;
    let address = admit::dialled(&request.snapshot, wanted, &upstream);
    let way = Way { wanted, method: &head.method, upstream, address };
    match request.snapshot.config.tunnel(&wanted.host, wanted.port) {
        Scheme::Https => open(client, request, decision, way).await,
        Scheme::Connect | Scheme::Http => {
            let ended = carry(client, request, way).await;
            log_end(client, request, decision, ended).await;
        }
    }
    Ok(Next::Close)
}

/// Opens a tunnel when it begins with TLS; what else may go there goes as it comes.
async fn open(client: &mut Client, request: &Request, decision: &Decision, way: Way<'_>) {
    let ended = match opened::begin(client, expected(request, way.wanted)).await {
        Ok(Some(Beginning::Tls(first))) => {
            return opened::serve(client, request, decision, (first, way)).await;
        }
        Ok(Some(Beginning::Other(first))) => join(client, request, way, async { Ok(first) }).await,
        Ok(None) => Ended::Stopped,
        Err(denial) => Ended::Refused(denial),
    };
    log_end(client, request, decision, ended).await;
}

/// Where a tunnel leads.
pub(super) struct Way<'a> {
    pub(super) wanted: &'a Destination,
    pub(super) method: &'a str,
    pub(super) upstream: TcpStream,
    /// What was dialled, when the guard has looked it up itself.
    pub(super) address: Option<IpAddr>,
}

/// How a tunnel ended.
enum Ended {
    /// One of its ends is through.
    Joined(End),
    /// It did not begin as it has to.
    Refused(Denial),
    /// The policy was changed and does not allow it any more, or more went up than may.
    Withdrawn(Denial),
    /// The guard stops.
    Stopped,
}

fn expected<'a>(request: &Request, wanted: &'a Destination) -> Expected<'a> {
    let config = &request.snapshot.config;
    Expected {
        host: &wanted.host,
        tls_only: config.is_tls_only(wanted.port),
        may_be_ssh: config.policy.is_ssh(&wanted.host, wanted.port),
        allow_ech: config.allow_ech,
        timeout: Duration::from_secs(config.limits.hello_timeout_seconds),
    }
}

async fn carry(client: &mut Client, request: &Request, way: Way<'_>) -> Ended {
    let first = std::mem::take(&mut client.buffer);
    let opening = client_hello::read(&client.stream, first, expected(request, way.wanted));
    join(client, request, way, opening).await
}

/// Joins both ends, once the client's side has begun as it may.
async fn join(
    client: &Client,
    request: &Request,
    way: Way<'_>,
    opening: impl Future<Output = Result<BytesMut, Denial>>,
) -> Ended {
    let idle = Duration::from_secs(request.snapshot.config.limits.idle_timeout_seconds);
    let upstream = Stream::Tcp(way.upstream);
    let pair = Pair { client: &client.stream, upstream: &upstream };
    let (over, spent) = (Notify::new(), OnceLock::new());
    let sent = |count| {
        if let Err(denial) = request.spend(count) {
            spent.get_or_init(|| denial);
            over.notify_one();
        }
    };
    let too_much = async {
        over.notified().await;
        spent.get().cloned()
    };
    tokio::select! {
        ended = join::join(pair, (&request.activity, sent), idle, opening) => match ended {
            Ok(end) => Ended::Joined(end),
            Err(denial) => Ended::Refused(denial),
        },
        Some(denial) = too_much => Ended::Withdrawn(denial),
        denial = client.server.withdrawn(request, (way.wanted, way.method), way.address) => Ended::Withdrawn(denial),
        () = client.server.stopped() => Ended::Stopped,
    }
}

async fn log_end(client: &Client, request: &Request, decision: &Decision, ended: Ended) {
    let reason = match ended {
        Ended::Joined(End::Closed) => "closed",
        Ended::Joined(End::Broken) => "one side broke the connection",
        Ended::Stopped => "the guard stops",
        // What the client gets is encrypted by now, so there is nothing to tell it but the end.
        Ended::Withdrawn(denial) => return client.ledger.denied(request, LogEvent::Close, denial).await,
        Ended::Joined(End::Idle) => {
            let denial = Denial::new(Code::Timeout, "nothing moved for too long").after(decision);
            return client.ledger.denied(request, LogEvent::Close, denial).await;
        }
        Ended::Refused(denial) => {
            client.ledger.denied(request, LogEvent::Close, denial.after(decision)).await;
            if client.tell(ALERT).await {
                client.stream.linger(super::LINGER).await;
            }
            return;
        }
    };
    client.ledger.allowed(request, LogEvent::Close, decision, reason.to_owned()).await;
}
