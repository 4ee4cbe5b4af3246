//! CONNECT: opens the tunnel, looks at its beginning, and joins both ends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Code, Decision, LogEvent, Scheme};
use tokio::net::TcpStream;

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
    client.log_allowed(request, LogEvent::Request, decision, decision.reason.clone()).await;
    match request.snapshot.config.tunnel(&wanted.host, wanted.port) {
        Scheme::Https => open(client, request, (wanted, decision), upstream).await,
        Scheme::Connect | Scheme::Http => {
            let ended = carry(client, request, wanted, upstream).await;
            log_end(client, request, decision, ended).await;
        }
    }
    Ok(Next::Close)
}

/// Opens a tunnel when it begins with TLS; what else may go there goes as it comes.
async fn open(
    client: &mut Client,
    request: &Request,
    (wanted, decision): (&Destination, &Decision),
    upstream: TcpStream,
) {
    let ended = match opened::begin(client, expected(request, wanted)).await {
        Ok(Some(Beginning::Tls(first))) => {
            return opened::serve(client, request, (wanted, decision), (first, upstream)).await;
        }
        Ok(Some(Beginning::Other(first))) => join(client, request, upstream, async { Ok(first) }).await,
        Ok(None) => Ok(None),
        Err(denial) => Err(denial),
    };
    log_end(client, request, decision, ended).await;
}

/// How a tunnel ended; `None` when the guard stops.
type Ended = Result<Option<End>, Denial>;

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

async fn carry(client: &mut Client, request: &Request, wanted: &Destination, upstream: TcpStream) -> Ended {
    let first = std::mem::take(&mut client.buffer);
    let opening = client_hello::read(&client.stream, first, expected(request, wanted));
    join(client, request, upstream, opening).await
}

/// Joins both ends, once the client's side has begun as it may.
async fn join(
    client: &Client,
    request: &Request,
    upstream: TcpStream,
    opening: impl Future<Output = Result<BytesMut, Denial>>,
) -> Ended {
    let idle = Duration::from_secs(request.snapshot.config.limits.idle_timeout_seconds);
    let upstream = Stream::Tcp(upstream);
    let pair = Pair { client: &client.stream, upstream: &upstream };
    tokio::select! {
        ended = join::join(pair, &request.activity, idle, opening) => ended.map(Some),
        () = client.server.stopped() => Ok(None),
    }
}

async fn log_end(client: &Client, request: &Request, decision: &Decision, ended: Ended) {
    let reason = match ended {
        Ok(Some(End::Closed)) => "closed",
        Ok(Some(End::Broken)) => "one side broke the connection",
        Ok(None) => "the guard stops",
        Ok(Some(End::Idle)) => {
            let denial = Denial::new(Code::Timeout, "nothing moved for too long").after(decision);
            return client.log_denial(request, LogEvent::Close, denial).await;
        }
        Err(denial) => {
            client.log_denial(request, LogEvent::Close, denial.after(decision)).await;
            if client.tell(ALERT).await {
                client.stream.linger(super::LINGER).await;
            }
            return;
        }
    };
    client.log_allowed(request, LogEvent::Close, decision, reason.to_owned()).await;
}
