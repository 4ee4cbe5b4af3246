//! One stream: its request goes up while its answer comes down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use claude_bottle_egress_policy::{Code, Decision, LogEvent};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::{HeaderMap, Request as Asked, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::admit::Denial;
use super::super::answer::{self, Answer};
use super::super::client::gone;
use super::super::exchange::{self, Prepared};
use super::super::request::Request;
use super::super::request_body::{BodySender, PAUSE, pass_on};
use super::super::request_look::RequestLook;
use super::super::upstream::{BodyAborted, failed};
use super::reply::{Reply, ReplyBody};
use super::{Front, head};
use crate::http::destination::Destination;
use crate::http::head::{RequestHead, Version};

/// Answers one stream of a client.
pub(super) async fn answer(front: Arc<Front>, asked: Asked<Incoming>) -> Response<ReplyBody> {
    front.has_asked.store(true, Ordering::Relaxed);
    let (sender, head) = oneshot::channel();
    // Dropped with this future, or with the answer's body, when the client resets the stream.
    let (wanted, unwanted) = oneshot::channel();
    tokio::spawn(run(front, asked, Reply::new(sender), unwanted));
    match head.await {
        Ok(response) => response.map(|body| body.while_wanted(wanted)),
        Err(_) => {
            let mut response = Response::new(ReplyBody::whole(Vec::new()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

async fn run(front: Arc<Front>, asked: Asked<Incoming>, mut reply: Reply, unwanted: oneshot::Receiver<()>) {
    front.streams.send_modify(|count| *count += 1);
    let mut request = Request::new(front.server.snapshot());
    let served = serve(&front, &mut request, asked, (&mut reply, unwanted)).await;
    match served {
        Ok((decision, reason)) => {
            drop(reply);
            front.ledger.allowed(&request, LogEvent::Request, &decision, reason).await;
        }
        Err(denial) => {
            let denial = request.masked(denial);
            front.ledger.denied(&request, LogEvent::Request, denial.clone()).await;
            reply.refuse(&request, &denial);
        }
    }
    front.streams.send_modify(|count| *count -= 1);
}

async fn serve(
    front: &Front,
    request: &mut Request,
    asked: Asked<Incoming>,
    (reply, unwanted): (&mut Reply, oneshot::Receiver<()>),
) -> Result<(Decision, String), Denial> {
    let (parts, body) = asked.into_parts();
    request.describe("", &front.place.authority());
    let head = head::read(&parts, request.snapshot.config.limits.max_headers)?;
    request.describe(&head.method, &front.place.authority());
    let wanted = front.place.inside(&head).map_err(|error| Denial::new(error.code(), error.to_string()))?;
    request.resolve_to(&wanted.host, wanted.port);
    request.describe_path(&wanted.path);
    let decision = exchange::admit(&front.ledger, request, &head, &wanted)?;
    let stream = Stream { front, request, head: &head, wanted: &wanted };
    let reason = stream.carry(body, reply, unwanted).await.map_err(|denial| denial.after(&decision))?;
    Ok((decision, reason))
}

/// One request that was let through.
#[derive(Clone, Copy)]
struct Stream<'a> {
    front: &'a Front,
    request: &'a Request,
    head: &'a RequestHead,
    wanted: &'a Destination,
}

impl Stream<'_> {
    async fn carry(
        self,
        body: Incoming,
        reply: &mut Reply,
        unwanted: oneshot::Receiver<()>,
    ) -> Result<String, Denial> {
        let Self { front, request, head, wanted } = self;
        let length = head::body_length(head, body.is_end_stream())?;
        let mut prepared = exchange::prepare(request, head, (wanted, length))?;
        head::for_upstream(&mut prepared.outgoing, head, wanted)?;
        let idle = Duration::from_secs(request.snapshot.config.limits.idle_timeout_seconds);
        let open = front.connections.get(&front.server, request, wanted).await?;
        let address = open.address;
        tokio::select! {
            biased;
            ended = self.exchange((body, prepared), open, reply) => ended,
            () = request.activity.idle(idle) => Err(Denial::new(Code::Timeout, "nothing moved for too long")),
            denial = front.server.withdrawn(request, (wanted, &head.method), address) => Err(denial),
            () = front.server.stopped() => Err(Denial::new(Code::Timeout, "the guard stops")),
            _ = unwanted => Err(gone()),
        }
    }

    /// Sends the body while waiting for the answer, then streams the answer. An answer that ends early ends the request.
    async fn exchange(
        self,
        (body, prepared): (Incoming, Prepared),
        mut open: super::upstream::Open,
        reply: &mut Reply,
    ) -> Result<String, Denial> {
        let Prepared { mut outgoing, sender, packing, fill } = prepared;
        let look = RequestLook::new(self.head, self.request, (&self.wanted.host, packing));
        let mut feeding = std::pin::pin!(self.feed((body, look), sender));
        let mut fed = false;
        if let Some(fill) = fill {
            outgoing = Prepared::filled(outgoing, &fill, (self.request, feeding.as_mut())).await?;
            fed = true;
        }
        let response = {
            let mut sending = std::pin::pin!(self.send(&mut open, outgoing));
            loop {
                tokio::select! {
                    done = &mut feeding, if !fed => { done?; fed = true; }
                    response = &mut sending => break response?,
                }
            }
        };
        let mut answering = std::pin::pin!(self.answer(response, reply));
        loop {
            tokio::select! {
                done = &mut feeding, if !fed => { done?; fed = true; }
                told = &mut answering => return told,
            }
        }
    }

    /// Sends the request; over a connection that the host has closed meanwhile, once more over a new one.
    async fn send(
        self,
        open: &mut super::upstream::Open,
        outgoing: Asked<super::super::upstream::Body>,
    ) -> Result<Response<Incoming>, Denial> {
        match open.send(outgoing).await {
            Ok(response) => Ok(response),
            Err(None) => Err(failed()),
            Err(Some(unsent)) => {
                *open = self.front.connections.get(&self.front.server, self.request, self.wanted).await?;
                open.send(unsent).await.map_err(|_| failed())
            }
        }
    }

    /// Moves the client's body to the host.
    async fn feed(
        self,
        (mut body, mut look): (Incoming, RequestLook<'_>),
        sender: Option<BodySender>,
    ) -> Result<(), Denial> {
        let Some(mut sender) = sender else { return Ok(()) };
        let fed = self.frames(&mut body, &mut look, &mut sender).await;
        match fed {
            Ok(Some(trailers)) => {
                sender.send_trailers(trailers).await.ok();
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(denial) => {
                sender.abort(BodyAborted);
                Err(denial)
            }
        }
    }

    /// Passes on the frames of a body, and returns its trailers.
    async fn frames(
        self,
        body: &mut Incoming,
        look: &mut RequestLook<'_>,
        sender: &mut BodySender,
    ) -> Result<Option<HeaderMap>, Denial> {
        loop {
            let frame = match look.holds_back() {
                // Nothing is lost when this is given up: a frame is taken in its last step.
                true => timeout(PAUSE, body.frame()).await.ok(),
                false => Some(body.frame().await),
            };
            let frame = match frame {
                Some(frame) => frame,
                None => {
                    let held = look.pause()?;
                    pass_on(self.request, held, sender).await?;
                    body.frame().await
                }
            };
            match frame.transpose().map_err(|_| gone())?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    let clean: Bytes = look.push(data)?;
                    pass_on(self.request, clean, sender).await?;
                }
                last => {
                    let rest = look.finish()?;
                    pass_on(self.request, rest, sender).await?;
                    let trailers = last.and_then(|last| last.err()?.into_trailers().ok());
                    trailers.iter().try_for_each(|trailers| self.check_trailers(trailers))?;
                    return Ok(trailers);
                }
            }
        }
    }

    /// Looks at trailers as at any header. No placeholder is replaced in them.
    fn check_trailers(self, trailers: &HeaderMap) -> Result<(), Denial> {
        head::check_trailers(trailers, self.request.snapshot.config.limits.max_headers)?;
        let (method, target) = (self.head.method.clone(), "/".to_owned());
        let headers = head::lines(trailers).collect();
        let lines = RequestHead { method, target: target.clone(), version: Version::Http11, headers };
        let wanted = Destination { path: target, ..self.wanted.clone() };
        self.request.note(self.request.snapshot.inspector.head(&lines, &wanted))
    }

    /// Streams the answer, and returns what the log says of it.
    async fn answer(self, response: Response<Incoming>, reply: &mut Reply) -> Result<String, Denial> {
        let (mut response, mut body) = Answer::new(response, &self.request.snapshot, self.wanted)?;
        head::strip(response.headers_mut());
        let told = answer::told(&response, self.request);
        reply.begin(response, body.is_empty());
        while let Some(mut frame) = body.next().await? {
            if let Some(data) = frame.data_ref() {
                self.request.activity.add_down(data.len());
            }
            if let Some(trailers) = frame.trailers_mut() {
                head::strip(trailers);
            }
            if !reply.send(frame).await {
                return Err(gone());
            }
        }
        Ok(told)
    }
}
