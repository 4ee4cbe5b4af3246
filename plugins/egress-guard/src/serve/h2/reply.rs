//! The answer to one stream: a refusal, or what the host sends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use super::super::admit::Denial;
use super::super::request::Request;
use super::super::request_body::BODY_QUEUE;
use crate::http::response;

/// The answer was broken off, so the client must not take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
pub(super) struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The body of an answer. It goes when the client does not want it any more.
pub(super) struct ReplyBody {
    inner: Either<Channel<Bytes, Broken>, Full<Bytes>>,
    /// Held for as long as somebody waits for the answer.
    _wanted: Option<oneshot::Sender<()>>,
}

impl ReplyBody {
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self { inner: Either::Right(Full::new(bytes.into())), _wanted: None }
    }

    /// Returns the same, which tells by its end that nobody waits any more.
    pub(super) fn while_wanted(self, wanted: oneshot::Sender<()>) -> Self {
        Self { _wanted: Some(wanted), ..self }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Where the answer of one stream goes.
pub(super) struct Reply {
    head: Option<oneshot::Sender<Response<ReplyBody>>>,
    body: Option<Sender<Bytes, Broken>>,
}

impl Reply {
    pub(super) fn new(head: oneshot::Sender<Response<ReplyBody>>) -> Self {
        Self { head: Some(head), body: None }
    }

    /// Begins the answer. Without a body it is whole.
    pub(super) fn begin(&mut self, head: Response<()>, is_empty: bool) {
        let (inner, body) = if is_empty {
            (Either::Right(Full::default()), None)
        } else {
            let (sender, channel) = Channel::new(BODY_QUEUE);
            (Either::Left(channel), Some(sender))
        };
        self.body = body;
        if let Some(sender) = self.head.take() {
            sender.send(head.map(|()| ReplyBody { inner, _wanted: None })).ok();
        }
    }

    /// Passes on bytes or trailers; false when nobody wants them.
    pub(super) async fn send(&mut self, frame: Frame<Bytes>) -> bool {
        match &mut self.body {
            Some(body) => body.send(frame).await.is_ok(),
            None => false,
        }
    }

    /// Tells the client why there is no answer, or breaks off the one that has begun.
    pub(super) fn refuse(self, request: &Request, denial: &Denial) {
        match (self.head, self.body) {
            (Some(head), _) => {
                let answer = response::refused(&request.refusal(denial));
                head.send(answer.map(ReplyBody::whole)).ok();
            }
            (None, Some(body)) => body.abort(Broken),
            (None, None) => {}
        }
    }
}
