//! Heads of HTTP/2 as the rest of the guard reads them, and as a host gets them.

use claude_bottle_egress_policy::Code;
use hyper::header::{HOST, HeaderValue, TE, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{HeaderMap, Request, Uri};

use super::super::admit::Denial;
use super::super::client::bad;
use super::super::headers;
use super::super::upstream::Body;
use crate::http::destination::Destination;
use crate::http::framing::{self, BodyLength};
use crate::http::head::{self, HeadError, Header, RequestHead, Version};

/// Reads the head of a stream. The library has checked its form; what this parser takes in no head is refused here as well.
pub(super) fn read(parts: &Parts, most: usize) -> Result<RequestHead, Denial> {
    let method = parts.method.as_str();
    if !head::is_method(method.as_bytes()) {
        return Err(bad(HeadError::Method));
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad(HeadError::Target));
    }
    if parts.uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(Denial::new(Code::HostMismatch, "the scheme of the request is not that of the tunnel"));
    }
    let authority = parts.uri.authority().map(|authority| Header {
        name: HOST.as_str().to_owned(),
        value: authority.as_str().as_bytes().to_vec(),
    });
    let headers: Vec<Header> = authority.into_iter().chain(lines(&parts.headers)).collect();
    if headers.len() > most {
        return Err(bad(HeadError::TooManyHeaders));
    }
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(RequestHead { method, target, version: Version::Http2, headers })
}

/// Returns headers, or trailers, as lines.
pub(super) fn lines(headers: &HeaderMap) -> impl Iterator<Item = Header> {
    headers
        .iter()
        .map(|(name, value)| Header { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() })
}

/// Returns the length of a body that may have frames without having said how many.
pub(super) fn body_length(head: &RequestHead, is_empty: bool) -> Result<BodyLength, Denial> {
    if head.values(TRANSFER_ENCODING.as_str()).next().is_some() {
        return Err(bad(HeadError::AmbiguousLength));
    }
    match framing::body_length(head).map_err(bad)? {
        _ if is_empty => Ok(BodyLength::None),
        BodyLength::None => Ok(BodyLength::Chunked),
        length => Ok(length),
    }
}

/// Makes the request one of HTTP/2: the place is in its URL, and the body ends by itself.
pub(super) fn for_upstream(
    outgoing: &mut Request<Body>,
    head: &RequestHead,
    wanted: &Destination,
) -> Result<(), Denial> {
    let target = format!("https://{}{}", wanted.host_header(), outgoing.uri());
    *outgoing.uri_mut() = Uri::try_from(target).map_err(|_| bad(HeadError::Target))?;
    *outgoing.version_mut() = hyper::Version::HTTP_2;
    let headers = outgoing.headers_mut();
    headers.remove(HOST);
    headers.remove(TRANSFER_ENCODING);
    // The one of these that goes from end to end: calls of gRPC are answered in trailers.
    if head.has_token(TE.as_str(), "trailers") {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

/// Takes out of an answer's headers or trailers what stays behind.
pub(super) fn strip(headers: &mut HeaderMap) {
    let dropped: Vec<_> = headers.keys().filter(|name| headers::is_dropped(name.as_str())).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Says that trailers came that no head could have.
pub(super) fn check_trailers(trailers: &HeaderMap, most: usize) -> Result<(), Denial> {
    match trailers.len() > most {
        true => Err(Denial::new(Code::TooLarge, HeadError::TooManyHeaders.to_string())),
        false => Ok(()),
    }
}
