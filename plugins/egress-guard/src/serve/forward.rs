//! Plain HTTP: sends a decided request on, streams both bodies, follows no redirect.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use claude_bottle_egress_policy::{Code, Decision, LogEvent};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::{Method, Request as Outgoing, Response, StatusCode, Uri};

use super::admit::{self, Denial};
use super::client::{Client, Next, Request};
use super::headers;
use super::state::Server;
use super::upstream::{Body, BodyAborted, Upstream, failed};
use crate::dlp::body::{self, BodyScan, Packing, PackingError};
use crate::http::destination::Destination;
use crate::http::framing::{self, BodyDecoder, BodyLength, Piece};
use crate::http::head::{HeadError, RequestHead, Version};
use crate::http::response::CONTINUE;
use crate::net::splice::Activity;
use crate::net::stream::Stream;

/// Pieces of a body that may wait for the upstream.
const BODY_QUEUE: usize = 2;

/// Silence of a client after which it may be waiting for an answer to what it has sent of its body.
const PAUSE: Duration = Duration::from_millis(50);

/// The end of a body's channel that the client's bytes go into.
type BodySender = Sender<Bytes, BodyAborted>;

/// Carries one plain request to its end.
pub(crate) async fn serve(
    client: &mut Client,
    request: &Request,
    head: &RequestHead,
    (wanted, decision): (&Destination, &Decision),
) -> Result<Next, Denial> {
    let length = framing::body_length(head).map_err(bad)?;
    check_size(length, request.snapshot.config.limits.max_body_bytes)?;
    let packing = packing(head, request)?;
    let (outgoing, sender) = outgoing(head, wanted, length)?;
    let upstream = upstream(client, request, wanted).await?;
    if head.has_token("expect", "100-continue") && length != BodyLength::None {
        client.stream.write_all(CONTINUE).await.map_err(|_| gone())?;
    }
    let idle = Duration::from_secs(request.snapshot.config.limits.idle_timeout_seconds);
    let server = Arc::clone(&client.server);
    let decoder = BodyDecoder::new(length);
    let mut exchange = Exchange { client, request, head, upstream, decoder, packing, answered: false };
    let ended = tokio::select! {
        ended = exchange.run(outgoing, sender, wanted) => ended,
        () = request.activity.idle(idle) => Err(Denial::new(Code::Timeout, "nothing moved for too long")),
        () = server.stopped() => Err(Denial::new(Code::Timeout, "the guard stops")),
    };
    let Exchange { client, upstream, answered, .. } = exchange;
    match ended {
        Ok((next, reason)) => {
            client.log_allowed(request, LogEvent::Request, decision, reason).await;
            match next {
                Next::Keep => client.upstream = Some(upstream),
                Next::Close => client.stream.linger(super::LINGER).await,
            }
            Ok(next)
        }
        // The answer has begun, so the only way left to say that it is not whole is to break it off.
        Err(denial) if answered => {
            client.log_denial(request, LogEvent::Request, denial.after(decision)).await;
            Ok(Next::Close)
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
    dial(&client.server, request, wanted).await
}

async fn dial(server: &Server, request: &Request, wanted: &Destination) -> Result<Upstream, Denial> {
    let stream = admit::connect(server, &request.snapshot, wanted).await?;
    Upstream::open(stream, wanted, Arc::clone(&request.snapshot)).await
}

/// Makes the request for the upstream, and the sender of its body when it has one.
fn outgoing(
    head: &RequestHead,
    wanted: &Destination,
    length: BodyLength,
) -> Result<(Outgoing<Body>, Option<BodySender>), Denial> {
    let mut headers = headers::for_upstream(head, wanted)?;
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
    *outgoing.uri_mut() = Uri::try_from(&wanted.path).map_err(|_| bad(HeadError::Target))?;
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
            scan: BodyScan::new(&self.request.snapshot.inspector, &wanted.host, self.packing),
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
        self.answered = true;
        let plan = Plan::new(self.head, &response, fed);
        let reason = format!("answered {}", response.status().as_u16());
        let answering = answer(&self.client.stream, &self.request.activity, response, plan);
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

/// Writes the answer as it comes.
async fn answer(
    stream: &Stream,
    activity: &Activity,
    response: Response<Incoming>,
    plan: Plan,
) -> Result<(), Denial> {
    stream.write_all(&response_head(&response, plan)).await.map_err(|_| gone())?;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        // Trailers are dropped: nothing here needs them, and few clients can read them.
        let Ok(data) = frame.map_err(|_| failed())?.into_data() else { continue };
        if data.is_empty() || plan.framing == Framing::Empty {
            continue;
        }
        let written = match plan.framing {
            Framing::Chunked => stream.write_all(&chunk(&data)).await,
            _ => stream.write_all(&data).await,
        };
        written.map_err(|_| gone())?;
        activity.add_down(data.len());
    }
    if plan.framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n").await.map_err(|_| gone())?;
    }
    Ok(())
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

/// Moves the client's body to the upstream.
struct Feed<'a> {
    stream: &'a Stream,
    buffer: &'a mut BytesMut,
    decoder: &'a mut BodyDecoder,
    request: &'a Request,
    scan: BodyScan<'a>,
}

impl Feed<'_> {
    async fn run(&mut self, sender: Option<BodySender>) -> Result<(), Denial> {
        let Some(mut sender) = sender else { return Ok(()) };
        let fed = self.feed(&mut sender).await;
        if fed.is_err() {
            sender.abort(BodyAborted);
        }
        fed
    }

    async fn feed(&mut self, sender: &mut BodySender) -> Result<(), Denial> {
        let max_body = self.request.snapshot.config.limits.max_body_bytes;
        let mut total = 0;
        loop {
            match self.decoder.next(self.buffer).map_err(bad)? {
                Piece::End => {
                    let rest = self.scan.finish().map_err(unreadable)?;
                    return self.pass_on(rest, sender).await;
                }
                Piece::More => self.read(sender).await?,
                Piece::Data(data) => {
                    total += data.len() as u64;
                    check_size(BodyLength::Known(total), max_body)?;
                    let clean = self.scan.push(&data).map_err(unreadable)?;
                    self.pass_on(clean, sender).await?;
                }
            }
        }
    }

    /// Reads on. When nothing comes for a while, what is held back goes first, since the client may wait for its answer.
    async fn read(&mut self, sender: &mut BodySender) -> Result<(), Denial> {
        let mut in_time = None;
        if self.scan.holds_back() {
            // Nothing is lost when this is given up: bytes leave the socket in its last step, which does not wait.
            in_time = tokio::time::timeout(PAUSE, self.stream.read(self.buffer)).await.ok();
            if in_time.is_none() {
                let held = self.scan.pause();
                self.pass_on(held, sender).await?;
            }
        }
        let read = match in_time {
            Some(read) => read,
            None => self.stream.read(self.buffer).await,
        };
        if matches!(read, Ok(1..)) { Ok(()) } else { Err(gone()) }
    }

    /// Sends what has been looked at, unless something was found.
    async fn pass_on(&self, data: Bytes, sender: &mut BodySender) -> Result<(), Denial> {
        self.request.note(self.scan.findings().clone())?;
        if data.is_empty() {
            // Time passes for the body even while bytes are held back.
            self.request.activity.add_up(0);
            return Ok(());
        }
        self.request.activity.add_up(data.len());
        if sender.send_data(data).await.is_err() {
            // The upstream has stopped reading; its answer says why.
            return std::future::pending().await;
        }
        Ok(())
    }
}

/// How the answer's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// How the answer is written, and whether the connection stays.
#[derive(Debug, Clone, Copy)]
struct Plan {
    framing: Framing,
    next: Next,
}

impl Plan {
    fn new(head: &RequestHead, response: &Response<Incoming>, body_is_whole: bool) -> Self {
        let bodiless = head.method == "HEAD"
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = match response.body().size_hint().exact() {
            _ if bodiless => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if head.version == Version::Http11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let keep = head.keeps_alive() && body_is_whole && framing != Framing::UntilClose;
        Self { framing, next: if keep { Next::Keep } else { Next::Close } }
    }
}

fn response_head(response: &Response<Incoming>, plan: Plan) -> Vec<u8> {
    let status = response.status();
    let mut text =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Status"))
            .into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    };
    for (name, value) in response.headers() {
        // Behind HEAD the length tells about a body that does not come, and stays.
        let told_anew = name == hyper::header::CONTENT_LENGTH && plan.framing != Framing::Empty;
        if !told_anew && !headers::is_dropped(name.as_str()) {
            line(name.as_str(), value.as_bytes());
        }
    }
    match plan.framing {
        Framing::Length(length) => line("content-length", length.to_string().as_bytes()),
        Framing::Chunked => line("transfer-encoding", b"chunked"),
        Framing::Empty | Framing::UntilClose => {}
    }
    if plan.next == Next::Close {
        line("connection", b"close");
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn check_size(length: BodyLength, max: u64) -> Result<(), Denial> {
    match length {
        BodyLength::Known(length) if max > 0 && length > max => {
            Err(Denial::new(Code::TooLarge, "the request body is larger than allowed"))
        }
        _ => Ok(()),
    }
}

/// Returns how the body is packed. One that cannot be looked into is refused, unless findings would only warn.
fn packing(head: &RequestHead, request: &Request) -> Result<Packing, Denial> {
    match body::packing(head.values("content-encoding")) {
        Err(error) if request.snapshot.inspector.blocks() => Err(unreadable(error)),
        Err(_) => Ok(Packing::Plain),
        Ok(packing) => Ok(packing),
    }
}

fn unreadable(error: PackingError) -> Denial {
    Denial::new(error.code(), error.to_string())
}

fn bad(error: HeadError) -> Denial {
    Denial::new(error.code(), error.to_string())
}

/// The client broke off. Nobody reads the answer, but the log has its line.
fn gone() -> Denial {
    Denial::new(Code::Timeout, "the client broke off")
}
