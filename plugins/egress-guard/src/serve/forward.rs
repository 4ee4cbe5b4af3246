//! Plain HTTP, and HTTP/1.1 in an opened tunnel: sends a decided request on while its answer comes back, follows no redirect.

use std::sync::Arc;
use std::time::Duration;

use claude_bottle_egress_policy::{Code, Decision, LogEvent, Scheme};
use hyper::body::Incoming;
use hyper::{Request as Outgoing, Response};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::admit::{self, Denial};
use super::answer::{self, Answer};
use super::client::{Client, Next, bad, gone};
use super::exchange::{self, Prepared};
use super::request::Request;
use super::request_body::Feed;
use super::request_look::RequestLook;
use super::state::Server;
use super::upstream::{Body, Upstream, failed};
use super::upstream_response::{self, Plan};
use super::{upstream_proxy, upstream_tls, websocket};
use crate::http::destination::Destination;
use crate::http::framing::{self, BodyDecoder, BodyLength};
use crate::http::head::RequestHead;
use crate::http::response::CONTINUE;
use crate::tls::HTTP11;

/// A connection that was made for an opened tunnel.
pub(super) enum Dialled {
    /// Nothing has been said over it.
    Plain(TcpStream),
    /// Its host was asked what it speaks.
    Shaken(Box<TlsStream<TcpStream>>),
}

/// Carries one plain request to its end.
pub(crate) async fn serve(
    client: &mut Client,
    request: &Request,
    head: &RequestHead,
    (wanted, decision): (&Destination, &Decision),
) -> Result<Next, Denial> {
    let length = framing::body_length(head).map_err(bad)?;
    let mut prepared = exchange::prepare(request, head, (wanted, length))?;
    upstream_proxy::address(&mut prepared.outgoing, &request.snapshot, wanted)?;
    let upstream = upstream(client, request, wanted).await?;
    let waits = head.has_token("expect", "100-continue") && length != BodyLength::None;
    if waits && !client.tell(CONTINUE).await {
        return Err(gone());
    }
    let idle = Duration::from_secs(request.snapshot.config.limits.idle_timeout_seconds);
    let server = Arc::clone(&client.server);
    let address = upstream.address;
    let decoder = BodyDecoder::new(length);
    let mut exchange = Exchange { client, request, head, upstream, decoder, answered: false };
    let ended = tokio::select! {
        ended = exchange.run(prepared, wanted) => ended,
        () = request.activity.idle(idle) => Err(Denial::new(Code::Timeout, "nothing moved for too long")),
        denial = server.withdrawn(request, (wanted, &head.method), address) => Err(denial),
        () = server.stopped() => Err(Denial::new(Code::Timeout, "the guard stops")),
    };
    let Exchange { client, upstream, answered, .. } = exchange;
    match ended {
        Ok((next, reason)) => {
            client.ledger.allowed(request, LogEvent::Request, decision, reason).await;
            match next {
                Next::Keep => client.upstream = Some(upstream),
                Next::Close | Next::Break => client.stream.linger(super::LINGER).await,
            }
            Ok(next)
        }
        // The answer has begun, so the only way left to say that it is not whole is to break it off.
        Err(denial) if answered => {
            client.ledger.denied(request, LogEvent::Request, denial.after(decision)).await;
            Ok(Next::Break)
        }
        Err(denial) => Err(denial),
    }
}

/// Returns the kept connection when it leads to the same place, or a new one.
async fn upstream(client: &mut Client, request: &Request, wanted: &Destination) -> Result<Upstream, Denial> {
    if let Some(kept) = client.upstream.take()
        && kept.fits(wanted, &request.snapshot)
    {
        return Ok(kept);
    }
    match client.dialled.take() {
        Some((snapshot, dialled)) if Arc::ptr_eq(&snapshot, &request.snapshot) => {
            open(dialled, request, wanted).await
        }
        _ => dial(&client.server, request, wanted).await,
    }
}

async fn dial(server: &Server, request: &Request, wanted: &Destination) -> Result<Upstream, Denial> {
    let stream = admit::connect(server, &request.snapshot, wanted).await?;
    open(Dialled::Plain(stream), request, wanted).await
}

/// Speaks HTTP over a connection, and from an opened tunnel TLS below it.
async fn open(dialled: Dialled, request: &Request, wanted: &Destination) -> Result<Upstream, Denial> {
    let snapshot = &request.snapshot;
    let stream = match dialled {
        Dialled::Plain(stream) if wanted.scheme != Scheme::Https => {
            let address = admit::dialled(snapshot, wanted, &stream);
            return Upstream::open(stream, (wanted, address), Arc::clone(snapshot)).await;
        }
        Dialled::Plain(stream) => {
            upstream_tls::connect(snapshot, &wanted.host, (stream, vec![HTTP11.to_vec()])).await?
        }
        Dialled::Shaken(stream) => *stream,
    };
    let address = admit::dialled(snapshot, wanted, stream.get_ref().0);
    Upstream::open(stream, (wanted, address), Arc::clone(snapshot)).await
}

/// One request and its answer under way.
struct Exchange<'a> {
    client: &'a mut Client,
    request: &'a Request,
    head: &'a RequestHead,
    upstream: Upstream,
    decoder: BodyDecoder,
    /// Whether the answer's head has been written.
    answered: bool,
}

impl Exchange<'_> {
    /// Sends the body while waiting for the answer, then streams the answer.
    async fn run(&mut self, prepared: Prepared, wanted: &Destination) -> Result<(Next, String), Denial> {
        let Prepared { mut outgoing, mut sender, packing, fill } = prepared;
        if websocket::is_asked(self.head, wanted) {
            return self.upgrade(outgoing, wanted).await;
        }
        let mut feed = Feed {
            stream: &self.client.stream,
            buffer: &mut self.client.buffer,
            decoder: &mut self.decoder,
            request: self.request,
            look: RequestLook::new(self.head, self.request, (&wanted.host, packing)),
        };
        let mut fed = false;
        if let Some(fill) = fill {
            let whole = feed.run(sender.take());
            outgoing = Prepared::filled(outgoing, &fill, (self.request, whole)).await?;
            fed = true;
        }
        let feeding = feed.run(sender);
        tokio::pin!(feeding);
        let response = {
            let answer = send(&mut self.upstream, outgoing, (&self.client.server, self.request, wanted));
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    done = &mut feeding, if !fed => { done?; fed = true; }
                    answer = &mut answer => break answer?,
                }
            }
        };
        upstream_proxy::check(response.status(), &self.request.snapshot, wanted)?;
        let (response, answer) = Answer::new(response, &self.request.snapshot, wanted)?;
        self.answered = true;
        let plan = Plan::new(self.head, (&response, answer.length()), fed);
        let reason = answer::told(&response, self.request);
        let (stream, activity) = (&self.client.stream, &self.request.activity);
        let answering = upstream_response::write(stream, activity, (response, answer), plan);
        tokio::pin!(answering);
        loop {
            tokio::select! {
                done = &mut feeding, if !fed => { done?; fed = true; }
                done = &mut answering => { done?; break; }
            }
        }
        Ok((plan.next, reason))
    }

    /// Asks for a WebSocket. What is answered with something else is an answer like any other.
    async fn upgrade(
        &mut self,
        outgoing: Outgoing<Body>,
        wanted: &Destination,
    ) -> Result<(Next, String), Denial> {
        let place = (&*self.client.server, self.request, wanted);
        let response = send_any(&mut self.upstream, outgoing, place).await?;
        if websocket::is_consent(response.status()) {
            self.answered = true;
            let ended = websocket::carry(self.client, self.request, wanted, response).await?;
            return Ok((Next::Close, ended));
        }
        let (response, answer) = Answer::new(response, &self.request.snapshot, wanted)?;
        self.answered = true;
        let plan = Plan::new(self.head, (&response, answer.length()), true);
        let reason = answer::told(&response, self.request);
        let (stream, activity) = (&self.client.stream, &self.request.activity);
        upstream_response::write(stream, activity, (response, answer), plan).await?;
        Ok((plan.next, reason))
    }
}

/// Sends the request. No upgrade was asked for, so no host may switch protocols.
async fn send(
    upstream: &mut Upstream,
    outgoing: Outgoing<Body>,
    place: (&Server, &Request, &Destination),
) -> Result<Response<Incoming>, Denial> {
    let response = send_any(upstream, outgoing, place).await?;
    if websocket::is_consent(response.status()) { Err(failed()) } else { Ok(response) }
}

/// Sends the request; on a kept connection that the upstream has closed meanwhile, once more on a new one.
async fn send_any(
    upstream: &mut Upstream,
    outgoing: Outgoing<Body>,
    (server, request, wanted): (&Server, &Request, &Destination),
) -> Result<Response<Incoming>, Denial> {
    match upstream.send(outgoing).await {
        Ok(response) => Ok(response),
        Err(None) => Err(failed()),
        Err(Some(unsent)) => {
            *upstream = dial(server, request, wanted).await?;
            upstream.send(unsent).await.map_err(|_| failed())
        }
    }
}
