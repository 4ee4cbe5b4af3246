//! Plain HTTP, and HTTP in an opened tunnel: sends a decided request on while its answer comes back, follows no redirect.

use std::sync::Arc;
use std::time::Duration;

use claude_bottle_egress_policy::{Code, Decision, LogEvent, Scheme};
use http_body_util::channel::Channel;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::{Method, Request as Outgoing, Response, StatusCode, Uri};
use tokio::net::TcpStream;

use super::admit::{self, Denial};
use super::answer;
use super::client::{Client, Next, bad, gone};
use super::headers;
use super::request::Request;
use super::request_body::{self, BODY_QUEUE, BodySender, Feed};
use super::state::Server;
use super::upstream::{Body, Upstream, failed};
use super::upstream_proxy;
use super::upstream_response::{Plan, Writer};
use super::upstream_tls;
use crate::dlp::unpack::Packing;
use crate::held::Put;
use crate::http::destination::Destination;
use crate::http::framing::{self, BodyDecoder, BodyLength};
use crate::http::head::{HeadError, RequestHead};
use crate::http::response::CONTINUE;

/// Carries one plain request to its end.
pub(crate) async fn serve(
    client: &mut Client,
    request: &Request,
    head: &RequestHead,
    (wanted, decision): (&Destination, &Decision),
) -> Result<Next, Denial> {
    let length = framing::body_length(head).map_err(bad)?;
    request_body::check_size(length, request.snapshot.config.limits.max_body_bytes)?;
    let packing = request_body::packing(head, request)?;
    let put = request.snapshot.held.put_into(head, wanted)?;
    request.secrets.get_or_init(|| put.names().to_vec());
    let looks = request.snapshot.answers(wanted).is_some();
    let (mut outgoing, sender) = outgoing(head, (wanted, length), (&put, looks))?;
    upstream_proxy::address(&mut outgoing, &request.snapshot, wanted)?;
    let upstream = upstream(client, request, wanted).await?;
    let waits = head.has_token("expect", "100-continue") && length != BodyLength::None;
    if waits && !client.tell(CONTINUE).await {
        return Err(gone());
    }
    let idle = Duration::from_secs(request.snapshot.config.limits.idle_timeout_seconds);
    let server = Arc::clone(&client.server);
    let address = upstream.address;
    let decoder = BodyDecoder::new(length);
    let mut exchange = Exchange { client, request, head, upstream, decoder, packing, answered: false };
    let ended = tokio::select! {
        ended = exchange.run(outgoing, sender, wanted) => ended,
        () = request.activity.idle(idle) => Err(Denial::new(Code::Timeout, "nothing moved for too long")),
        denial = server.withdrawn(request, (wanted, &head.method), address) => Err(denial),
        () = server.stopped() => Err(Denial::new(Code::Timeout, "the guard stops")),
    };
    let Exchange { client, upstream, answered, .. } = exchange;
    match ended {
        Ok((next, reason)) => {
            client.log_allowed(request, LogEvent::Request, decision, reason).await;
            match next {
                Next::Keep => client.upstream = Some(upstream),
                Next::Close | Next::Break => client.stream.linger(super::LINGER).await,
            }
            Ok(next)
        }
        // The answer has begun, so the only way left to say that it is not whole is to break it off.
        Err(denial) if answered => {
            client.log_denial(request, LogEvent::Request, denial.after(decision)).await;
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
        Some((snapshot, stream)) if Arc::ptr_eq(&snapshot, &request.snapshot) => {
            open(stream, request, wanted).await
        }
        _ => dial(&client.server, request, wanted).await,
    }
}

async fn dial(server: &Server, request: &Request, wanted: &Destination) -> Result<Upstream, Denial> {
    let stream = admit::connect(server, &request.snapshot, wanted).await?;
    open(stream, request, wanted).await
}

/// Speaks HTTP over a connection, and from an opened tunnel TLS below it.
async fn open(stream: TcpStream, request: &Request, wanted: &Destination) -> Result<Upstream, Denial> {
    let snapshot = &request.snapshot;
    let address = admit::dialled(snapshot, wanted, &stream);
    if wanted.scheme != Scheme::Https {
        return Upstream::open(stream, (wanted, address), Arc::clone(snapshot)).await;
    }
    let stream = upstream_tls::connect(snapshot, &wanted.host, stream).await?;
    Upstream::open(stream, (wanted, address), Arc::clone(snapshot)).await
}

/// Makes the request for the upstream, and the sender of its body when it has one.
fn outgoing(
    head: &RequestHead,
    (wanted, length): (&Destination, BodyLength),
    put: (&Put, bool),
) -> Result<(Outgoing<Body>, Option<BodySender>), Denial> {
    let mut headers = headers::for_upstream(head, wanted, put)?;
    let (body, sender) = match length {
        BodyLength::None => (Either::Right(Empty::new()), None),
        BodyLength::Known(_) | BodyLength::Chunked => {
            let (sender, body) = Channel::new(BODY_QUEUE);
            (Either::Left(body), Some(sender))
        }
    };
    if length == BodyLength::Chunked {
        headers.insert(hyper::header::TRANSFER_ENCODING, hyper::header::HeaderValue::from_static("chunked"));
    }
    let mut outgoing = Outgoing::new(body);
    *outgoing.method_mut() =
        Method::from_bytes(head.method.as_bytes()).map_err(|_| bad(HeadError::Method))?;
    *outgoing.uri_mut() =
        Uri::try_from(put.0.target().unwrap_or(&wanted.path)).map_err(|_| bad(HeadError::Target))?;
    *outgoing.headers_mut() = headers;
    Ok((outgoing, sender))
}

/// One request and its answer under way.
struct Exchange<'a> {
    client: &'a mut Client,
    request: &'a Request,
    head: &'a RequestHead,
    upstream: Upstream,
    decoder: BodyDecoder,
    packing: Packing,
    /// Whether the answer's head has been written.
    answered: bool,
}

impl Exchange<'_> {
    /// Sends the body while waiting for the answer, then streams the answer.
    async fn run(
        &mut self,
        outgoing: Outgoing<Body>,
        sender: Option<BodySender>,
        wanted: &Destination,
    ) -> Result<(Next, String), Denial> {
        let mut feed = Feed {
            stream: &self.client.stream,
            buffer: &mut self.client.buffer,
            decoder: &mut self.decoder,
            request: self.request,
            scan: request_body::scan(self.head, self.request, &wanted.host, self.packing),
            mask: request_body::mask(self.request, &wanted.host, self.packing),
        };
        let feeding = feed.run(sender);
        tokio::pin!(feeding);
        let mut fed = false;
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
        let mut response = response;
        let look = answer::look(&mut response, &self.request.snapshot, wanted)?;
        self.answered = true;
        let plan = Plan::new(self.head, &response, fed);
        let reason = answer::told(response.status(), self.request);
        let mut writer = Writer { stream: &self.client.stream, activity: &self.request.activity, plan, look };
        let answering = writer.write(response);
        tokio::pin!(answering);
        loop {
            tokio::select! {
                done = &mut feeding, if !fed => { done?; fed = true; }
                done = &mut answering => { done?; break; }
            }
        }
        Ok((plan.next, reason))
    }
}

/// Sends the request; on a kept connection that the upstream has closed meanwhile, once more on a new one.
async fn send(
    upstream: &mut Upstream,
    outgoing: Outgoing<Body>,
    (server, request, wanted): (&Server, &Request, &Destination),
) -> Result<Response<Incoming>, Denial> {
    let response = match upstream.send(outgoing).await {
        Ok(response) => response,
        Err(None) => return Err(failed()),
        Err(Some(unsent)) => {
            *upstream = dial(server, request, wanted).await?;
            upstream.send(unsent).await.map_err(|_| failed())?
        }
    };
    // No upgrade was asked for, so nobody may switch protocols.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS { Err(failed()) } else { Ok(response) }
}
