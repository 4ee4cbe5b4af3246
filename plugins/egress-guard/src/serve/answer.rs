//! An answer as it comes, and what it may hold of the bottle's secrets: none, from a host that they go to.

use bytes::Bytes;
use claude_bottle_egress_policy::{Code, answered};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use tokio::time::timeout;

use super::admit::Denial;
use super::request::Request;
use super::request_body::PAUSE;
use super::state::Snapshot;
use super::upstream::failed;
use crate::dlp::answer::{AnswerBody, AnswerError};
use crate::dlp::mask::Mask;
use crate::dlp::unpack;
use crate::held::Held;
use crate::http::destination::Destination;

/// The body of an answer under way.
pub(super) struct Answer<'s> {
    body: Incoming,
    /// The look at it, where secrets could be in it.
    look: Option<Look<'s>>,
}

struct Look<'s> {
    body: AnswerBody<'s>,
    mask: &'s Mask,
    held: &'s Held,
    /// What waits behind the last bytes: trailers, or nothing at the end.
    last: Option<Option<HeaderMap>>,
}

impl<'s> Answer<'s> {
    /// Takes the body off an answer, in whose head secrets are hidden.
    pub(super) fn new(
        response: Response<Incoming>,
        snapshot: &'s Snapshot,
        wanted: &Destination,
    ) -> Result<(Response<()>, Self), Denial> {
        let (mut parts, body) = response.into_parts();
        let Some(mask) = snapshot.answers(wanted) else {
            return Ok((Response::from_parts(parts, ()), Self { body, look: None }));
        };
        hide(&mut parts.headers, &snapshot.held, mask);
        let codings = parts.headers.get_all(CONTENT_ENCODING);
        let look = match unpack::packing(codings.iter().map(HeaderValue::as_bytes)) {
            Ok(packing) => {
                let body = AnswerBody::new(mask, packing);
                Some(Look { body, mask, held: &snapshot.held, last: None })
            }
            Err(_) if !body.is_end_stream() => return Err(broken(AnswerError::Unreadable)),
            Err(_) => None,
        };
        Ok((Response::from_parts(parts, ()), Self { body, look }))
    }

    /// Returns the length of the body, when it is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Returns `true` if nothing comes.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Waits for the next bytes or trailers; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Denial> {
        let Some(look) = &mut self.look else {
            return self.body.frame().await.transpose().map_err(|_| failed());
        };
        loop {
            if let Some(last) = look.last.take() {
                look.last = last.is_some().then_some(None);
                return Ok(last.map(Frame::trailers));
            }
            let frame = match look.body.holds_back() {
                // Nothing is lost when this is given up: a frame is taken in its last step.
                true => timeout(PAUSE, self.body.frame()).await.ok(),
                false => Some(self.body.frame().await),
            };
            let passed = match frame {
                Some(frame) => look.take(frame.transpose().map_err(|_| failed())?)?,
                None => {
                    // What may go in a pause goes, and the rest waits for what follows it.
                    let given = look.body.pause();
                    match given.is_empty() {
                        true => look.take(self.body.frame().await.transpose().map_err(|_| failed())?)?,
                        false => given,
                    }
                }
            };
            if !passed.is_empty() {
                return Ok(Some(Frame::data(passed)));
            }
        }
    }
}

impl Look<'_> {
    /// Takes a frame, or the end, and gives back the bytes that may go.
    fn take(&mut self, frame: Option<Frame<Bytes>>) -> Result<Bytes, Denial> {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => self.body.push(data).map_err(broken),
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().ok().map(|mut trailers| {
                    hide(&mut trailers, self.held, self.mask);
                    trailers
                });
                self.last = Some(trailers);
                self.body.finish().map_err(broken)
            }
            None => {
                self.last = Some(None);
                self.body.finish().map_err(broken)
            }
        }
    }
}

/// Hides secrets in headers: the placeholder for a value as it is, stars for any other form of it.
pub(super) fn hide(headers: &mut HeaderMap, held: &Held, mask: &Mask) {
    for value in headers.values_mut() {
        let hidden = held.hide(value.as_bytes());
        let masked = mask.whole(hidden.as_deref().unwrap_or(value.as_bytes())).or(hidden);
        if let Some(other) = masked.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            *value = other;
        }
    }
}

fn broken(error: AnswerError) -> Denial {
    Denial::new(Code::SecretReflected, error.to_string())
}

/// Returns what the log says of an answer.
pub(super) fn told(response: &Response<()>, request: &Request) -> String {
    let status = response.status();
    request.capture.answered(&request.snapshot, status, response.headers());
    answered(status.as_u16(), &request.secrets())
}
