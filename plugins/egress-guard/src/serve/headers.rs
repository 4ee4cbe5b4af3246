//! Which headers cross the guard, in both directions.

use claude_bottle_egress_policy::Code;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, HOST, HeaderName, HeaderValue};

use super::admit::Denial;
use super::websocket;
use crate::held::Put;
use crate::http::destination::Destination;
use crate::http::head::{HeadError, RequestHead};
use crate::http::response::OWN_PREFIX;

/// Headers that concern one connection only: <https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1>. Expect is
/// answered here, and HTTP2-Settings belongs to an upgrade that is not passed on.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "http2-settings",
    // Another way to the same host, which would have to be asked for like any other.
    "alt-svc",
];

/// Codings of answers that can be looked into.
const UNPACKED: &[&[u8]] = &[b"gzip", b"x-gzip", b"deflate", b"identity"];

/// Headers whose removal would change what the message is.
const NEVER_NOMINATED: &[&str] =
    &["host", "content-length", "content-encoding", "content-type", "authorization", "cookie"];

/// Returns the headers for the upstream. Host is written anew from the destination.
///
/// A host that secrets go to is to answer so that the answer can be looked into.
pub(crate) fn for_upstream(
    head: &RequestHead,
    wanted: &Destination,
    (put, looks): (&Put, bool),
) -> Result<HeaderMap, Denial> {
    let is_socket = websocket::is_asked(head, wanted);
    if !is_socket {
        refuse_upgrade(head)?;
    }
    let nominated = nominated(head)?;
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    let host = HeaderValue::try_from(wanted.host_header()).map_err(|_| malformed())?;
    headers.insert(HOST, host);
    for (index, header) in head.headers.iter().enumerate() {
        let name = header.name.as_str();
        if name == "host" || is_dropped(name) || nominated.iter().any(|n| n == name) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        let sent = || match name == ACCEPT_ENCODING && looks {
            true => HeaderValue::from_bytes(&narrowed(&header.value)),
            false => HeaderValue::from_bytes(&header.value),
        };
        let value = put.header(index).cloned().map_or_else(sent, Ok).map_err(|_| malformed())?;
        headers.append(name, value);
    }
    if is_socket {
        websocket::ask(&mut headers);
    }
    if let Some((name, value)) = put.added() {
        headers.insert(name, value.clone());
    }
    Ok(headers)
}

/// Returns the codings of an Accept-Encoding header that can be unpacked here.
fn narrowed(value: &[u8]) -> Vec<u8> {
    let is_known = |coding: &&[u8]| {
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        UNPACKED.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let kept: Vec<&[u8]> =
        value.split(|byte| *byte == b',').filter(is_known).map(<[u8]>::trim_ascii).collect();
    if kept.is_empty() { b"identity".to_vec() } else { kept.join(&b", "[..]) }
}

/// Tells whether a header of an upstream's answer stays behind. The length is rewritten.
pub(crate) fn is_dropped(name: &str) -> bool {
    HOP_BY_HOP.contains(&name) || name.starts_with(OWN_PREFIX)
}

/// `h2c` may be ignored, as <https://www.rfc-editor.org/rfc/rfc9110#section-7.8> says; a client that asks for
/// anything else, such as a WebSocket, cannot go on without it.
fn refuse_upgrade(head: &RequestHead) -> Result<(), Denial> {
    let ignorable =
        |value: &[u8]| value.split(|b| *b == b',').all(|t| t.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    if head.values("upgrade").all(ignorable) {
        return Ok(());
    }
    Err(Denial::new(Code::UpgradeRefused, "the request asks for another protocol"))
}

fn nominated(head: &RequestHead) -> Result<Vec<String>, Denial> {
    let mut names = Vec::new();
    for value in head.values("connection").chain(head.values("proxy-connection")) {
        for token in value.split(|b| *b == b',') {
            let name = String::from_utf8_lossy(token.trim_ascii()).to_ascii_lowercase();
            if NEVER_NOMINATED.contains(&name.as_str()) {
                let error = HeadError::Connection;
                return Err(Denial::new(error.code(), error.to_string()));
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn malformed() -> Denial {
    let error = HeadError::HeaderLine;
    Denial::new(error.code(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::destination::destination;
    use crate::http::head;

    fn sent(headers: &str) -> Result<Vec<String>, Code> {
        let text = format!("GET http://a.example:81/ HTTP/1.1\r\nHost: a.example:81\r\n{headers}\r\n");
        let head = head::parse(text.as_bytes(), 32).unwrap();
        let wanted = destination(&head).unwrap();
        let headers = for_upstream(&head, &wanted, (&Put::default(), false)).map_err(|denial| denial.code)?;
        Ok(headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect())
    }

    #[test]
    fn what_concerns_this_connection_stays_here() {
        let headers = "Connection: keep-alive, X-Private\r\nProxy-Authorization: Basic eA==\r\nX-Private: 1\r\nTE: trailers\r\n\
                       Proxy-Connection: keep-alive\r\nX-Egress-Reason: forged\r\nAccept: */*\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n";
        assert_eq!(sent(headers), Ok(vec!["host: a.example:81".to_owned(), "accept: */*".to_owned()]));
    }

    #[test]
    fn only_what_can_be_unpacked_is_accepted() {
        let check = |value: &str, expected: &str| {
            assert_eq!(String::from_utf8(narrowed(value.as_bytes())).unwrap(), expected, "{value}");
        };
        check("gzip, deflate, br, zstd", "gzip, deflate");
        check("GZIP;q=0.5 , *;q=0, identity; q=1", "GZIP;q=0.5, identity; q=1");
        check("br", "identity");
        check("", "identity");
        check("*", "identity");
    }

    #[test]
    fn upgrades_and_nominated_essentials_are_refused() {
        assert_eq!(sent("Connection: upgrade\r\nUpgrade: websocket\r\n"), Err(Code::UpgradeRefused));
        assert_eq!(sent("Upgrade: h2c, websocket\r\n"), Err(Code::UpgradeRefused));
        for name in ["Host", "content-length", "Authorization"] {
            assert_eq!(sent(&format!("Connection: close, {name}\r\n")), Err(Code::BadRequest));
        }
    }
}
