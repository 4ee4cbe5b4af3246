//! What is the same for a request of any protocol: it is decided, inspected, and made into the one that goes up.

use claude_bottle_egress_policy::Decision;
use http_body_util::channel::Channel;
use http_body_util::{Either, Empty};
use hyper::header::{HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request as Outgoing, Uri};

use super::admit::{self, Denial};
use super::client::bad;
use super::headers;
use super::ledger::Ledger;
use super::request::Request;
use super::request_body::{BODY_QUEUE, BodySender};
use super::request_look;
use super::upstream::Body;
use super::websocket;
use crate::dlp::unpack::Packing;
use crate::held::Put;
use crate::http::destination::Destination;
use crate::http::framing::BodyLength;
use crate::http::head::{HeadError, RequestHead};

/// Decides a request, and looks at everything of it but its body.
pub(super) fn admit(
    ledger: &Ledger,
    request: &mut Request,
    head: &RequestHead,
    wanted: &Destination,
) -> Result<Decision, Denial> {
    ledger.check()?;
    // Before the policy, since its answer repeats the name.
    request.note(request.words.clone())?;
    // Before any lookup, since the name itself may carry something out, and before a refusal, which repeats words of it.
    let findings = request.snapshot.inspector.head(head, wanted);
    request.hide_parts(&findings);
    let decision = admit::decide(&request.snapshot, wanted, &head.method)?;
    request.note(findings).map_err(|denial| denial.after(&decision))?;
    if websocket::is_asked(head, wanted) {
        return admit::decide(&request.snapshot, wanted, websocket::METHOD);
    }
    Ok(decision)
}

/// A request on its way up.
pub(super) struct Prepared {
    pub(super) outgoing: Outgoing<Body>,
    /// Takes its body, when it has one.
    pub(super) sender: Option<BodySender>,
    pub(super) packing: Packing,
}

/// Makes the request for the upstream, with the secrets that are put into it.
pub(super) fn prepare(
    request: &Request,
    head: &RequestHead,
    (wanted, length): (&Destination, BodyLength),
) -> Result<Prepared, Denial> {
    request_look::check_size(length, request.snapshot.config.limits.max_body_bytes)?;
    let packing = request_look::packing(head, request)?;
    let put = request.snapshot.held.put_into(head, wanted)?;
    request.secrets.get_or_init(|| put.names().to_vec());
    let looks = request.snapshot.answers(wanted).is_some();
    let (body, sender) = match length {
        BodyLength::None => (Either::Right(Empty::new()), None),
        BodyLength::Known(_) | BodyLength::Chunked => {
            let (sender, body) = Channel::new(BODY_QUEUE);
            (Either::Left(body), Some(sender))
        }
    };
    let mut outgoing = outgoing(head, wanted, (&put, looks), body)?;
    if length == BodyLength::Chunked {
        outgoing.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(Prepared { outgoing, sender, packing })
}

fn outgoing(
    head: &RequestHead,
    wanted: &Destination,
    put: (&Put, bool),
    body: Body,
) -> Result<Outgoing<Body>, Denial> {
    let headers = headers::for_upstream(head, wanted, put)?;
    let target = put.0.target().unwrap_or(&wanted.path);
    let mut outgoing = Outgoing::new(body);
    *outgoing.method_mut() =
        Method::from_bytes(head.method.as_bytes()).map_err(|_| bad(HeadError::Method))?;
    *outgoing.uri_mut() = Uri::try_from(target).map_err(|_| bad(HeadError::Target))?;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}
