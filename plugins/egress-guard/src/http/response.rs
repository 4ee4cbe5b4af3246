//! The answers the guard gives itself: refusals that say why, and the acceptance of a tunnel.

use claude_bottle_egress_policy::Code;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// Headers of this prefix come from the guard only; an upstream's are removed.
pub(crate) const OWN_PREFIX: &str = "x-egress-";

/// Answer to an accepted CONNECT.
pub(crate) const TUNNEL_OPEN: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Answer to `Expect: 100-continue`.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Returns the answer to the question for a name: the ports at which it may be reached.
pub(crate) fn ports(ports: &[u16]) -> Vec<u8> {
    let ports = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("HTTP/1.1 200 OK\r\nX-Egress-Ports: {ports}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// Returns an answer to what the agent asks for itself.
pub(crate) fn said(document: &impl Serialize) -> Vec<u8> {
    let mut body = serde_json::to_string(document).unwrap_or_else(|_| String::from("{}"));
    body.push('\n');
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A refusal as the client sees it.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) error: &'static str,
    pub(crate) code: Code,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) rule: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) hint: &'static str,
}

/// Returns the whole answer. The connection is closed behind it, since the rest of the request is never read.
pub(crate) fn refusal(refusal: &Refusal<'_>) -> Vec<u8> {
    let (status, phrase) = status(refusal.code);
    let body = body(refusal);
    let code = refusal.code.as_str();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {phrase}\r\nX-Egress-Reason: {code}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Returns the whole answer as one of HTTP/2, where the connection stays.
pub(crate) fn refused(refusal: &Refusal<'_>) -> Response<Vec<u8>> {
    let mut answer = Response::new(body(refusal).into_bytes());
    *answer.status_mut() = StatusCode::from_u16(status(refusal.code).0).unwrap_or(StatusCode::FORBIDDEN);
    let headers = answer.headers_mut();
    headers.insert("x-egress-reason", HeaderValue::from_static(refusal.code.as_str()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn body(refusal: &Refusal<'_>) -> String {
    let mut body = serde_json::to_string_pretty(refusal).unwrap_or_else(|_| String::from("{}"));
    body.push('\n');
    body
}

/// Policy says 403; what is wrong with the request or the way has its usual status, with the same header and body.
pub(crate) fn status(code: Code) -> (u16, &'static str) {
    match code {
        Code::BadRequest
        | Code::BadHost
        | Code::BadPath
        | Code::HostMismatch
        | Code::BadScheme
        | Code::TrailersRefused => (400, "Bad Request"),
        Code::Timeout => (408, "Request Timeout"),
        Code::TooLarge => (413, "Content Too Large"),
        Code::NoSuchHost
        | Code::ResolveFailed
        | Code::NoResolver
        | Code::ConnectFailed
        | Code::UpstreamFailed
        | Code::UpstreamCertificate
        | Code::UpstreamTls
        | Code::UpstreamProxyFailed
        | Code::SecretReflected => (502, "Bad Gateway"),
        Code::TooManyConnections | Code::LogFailed => (503, "Service Unavailable"),
        Code::Internal => (500, "Internal Server Error"),
        _ => (403, "Forbidden"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_everything_once() {
        let bytes = refusal(&Refusal {
            error: "egress_denied",
            code: Code::NotInAllowlist,
            host: "a.example",
            port: 443,
            rule: None,
            reason: "`a.example` is not on the allowlist",
            hint: Code::NotInAllowlist.hint(),
        });
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
        assert!(head.contains("\r\nX-Egress-Reason: not_in_allowlist\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["code"], "not_in_allowlist");
        assert_eq!(json["host"], "a.example");
        assert_eq!(json["rule"], serde_json::Value::Null);
    }
}
