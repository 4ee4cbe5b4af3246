//! What an answer may hold of the bottle's secrets: none, from a host that they go to.

use claude_bottle_egress_policy::Code;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::admit::Denial;
use super::request::Request;
use super::state::Snapshot;
use crate::dlp::answer::{AnswerBody, AnswerError};
use crate::dlp::mask::Mask;
use crate::dlp::unpack;
use crate::held::Held;
use crate::http::destination::Destination;

/// Hides secrets in the head of an answer, and returns the look at its body; `None` where no secret goes.
pub(super) fn look<'s>(
    response: &mut Response<impl Body>,
    snapshot: &'s Snapshot,
    wanted: &Destination,
) -> Result<Option<AnswerBody<'s>>, Denial> {
    let Some(mask) = snapshot.answers(wanted) else { return Ok(None) };
    hide(response.headers_mut(), &snapshot.held, mask);
    let has_body = !response.body().is_end_stream();
    let packing =
        unpack::packing(response.headers().get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes));
    match packing {
        Ok(packing) => Ok(Some(AnswerBody::new(mask, packing))),
        Err(_) if has_body => Err(broken(AnswerError::Unreadable)),
        Err(_) => Ok(None),
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

/// Says that an answer cannot be passed on.
pub(super) fn broken(error: AnswerError) -> Denial {
    Denial::new(Code::SecretReflected, error.to_string())
}

/// Returns what the log says of an answer.
pub(super) fn told(status: StatusCode, request: &Request) -> String {
    let names = request.secrets.get().map(Vec::as_slice).unwrap_or_default();
    match names {
        [_, ..] if status == StatusCode::UNAUTHORIZED => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("answered 401 to {}", names.join(", "))
        }
        _ => format!("answered {}", status.as_u16()),
    }
}
