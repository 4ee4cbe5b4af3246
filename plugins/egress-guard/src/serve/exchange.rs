//! What is the same for a request of any protocol: it is decided, inspected, and made into the one that goes up.

use std::future::Future;

use claude_bottle_egress_policy::{Decision, Scheme};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Full};
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request as Outgoing, Uri};

use super::admit::{self, Denial};
use super::client::{bad, gone};
use super::headers;
use super::ledger::Ledger;
use super::request::Request;
use super::request_body::{BODY_QUEUE, BodySender};
use super::request_look;
use super::upstream::Body;
use super::websocket;
use crate::dlp::unpack::Packing;
use crate::held::{BodyFill, Put};
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
    request.budget.get_or_init(|| ledger.budget(request, &wanted.host));
    // Before the policy, since its answer repeats the name.
    request.note(request.words.clone())?;
    // Before any lookup, since the name itself may carry something out, and before a refusal, which repeats words of it.
    let findings = request.snapshot.inspector.head(head, wanted);
    request.hide_parts(&findings);
    if wanted.scheme != Scheme::Connect {
        let has_findings = findings.any() || request.words.any();
        request.capture.sent(&request.snapshot, (head, wanted.scheme), has_findings);
    }
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
    /// What may be put into its body, which goes when it is whole then.
    pub(super) fill: Option<BodyFill>,
}

impl Prepared {
    /// Puts into the body what goes there, once `fed` has brought all of it.
    pub(super) async fn filled(
        outgoing: Outgoing<Body>,
        fill: &BodyFill,
        (request, fed): (&Request, impl Future<Output = Result<(), Denial>>),
    ) -> Result<Outgoing<Body>, Denial> {
        let (mut parts, body) = outgoing.into_parts();
        let (fed, whole) = tokio::join!(fed, body.collect());
        fed?;
        let whole = whole.map_err(|_| gone())?;
        let filled = fill.fill(whole.to_bytes())?;
        request.note_secrets(&filled.names);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(filled.body.len()));
        Ok(Outgoing::from_parts(parts, Either::Right(Full::new(filled.body))))
    }
}

/// Makes the request for the upstream, with the secrets that are put into it.
pub(super) fn prepare(
    request: &Request,
    head: &RequestHead,
    (wanted, length): (&Destination, BodyLength),
) -> Result<Prepared, Denial> {
    request_look::check_size(length, request.snapshot.config.limits.max_body_bytes)?;
    if let (BodyLength::Known(length), Some(Some(budget))) = (length, request.budget.get()) {
        budget.check(length)?;
    }
    let packing = request_look::packing(head, request)?;
    let put = request.snapshot.held.put_into(head, wanted)?;
    let fill = request.snapshot.held.body(head, wanted, (length, packing));
    request.note_secrets(put.names());
    let looks = request.snapshot.answers(wanted).is_some();
    let (body, sender) = match length {
        BodyLength::None => (Either::Right(Full::default()), None),
        BodyLength::Known(_) | BodyLength::Chunked => {
            let (sender, body) = Channel::new(BODY_QUEUE);
            (Either::Left(body), Some(sender))
        }
    };
    let mut outgoing = outgoing(head, wanted, (&put, looks), body)?;
    if length == BodyLength::Chunked {
        outgoing.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(Prepared { outgoing, sender, packing, fill })
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
