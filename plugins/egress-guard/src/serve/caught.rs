//! Connections that the guest program caught, and the names that it asks for.
//!
//! A program that knows no proxy connects to an address inside the bottle that stands for a name. The guest program hands the
//! connection on behind one head, `CATCH name:port`, and asks by `RESOLVE name` which names get an address. Neither allows
//! anything: what was caught is decided as if the client had asked this proxy for a tunnel, or for a page.

use std::time::Duration;

use claude_bottle_egress_policy::{Code, GuardConfig, HostOrIp, Scheme, parse_authority};

use super::admit::Denial;
use super::asking;
use super::client::{Client, Next};
use super::request::Request;
use super::words::Words;
use crate::http::destination::{self, Destination, DestinationError};
use crate::http::head::{MAX_METHOD, RequestHead, Version};
use crate::http::response;

/// How long a client may be silent where both plain HTTP and anything else may go: then the server speaks first.
const FIRST_WORD: Duration = Duration::from_millis(200);

/// What the guest program says in place of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preface {
    /// A client's connection to a place follows.
    Catch,
    /// The ports of a name are asked for.
    Resolve,
    /// The agent asks for itself, by the command `bottle`.
    Words(Words),
}

impl Preface {
    /// Returns what a head is, unless it is a request: one of these methods may also be in a URL's request.
    pub(super) fn of(head: &RequestHead) -> Option<Self> {
        let is_bare = head.headers.is_empty() && !head.target.contains('/');
        match head.method.as_str() {
            "CATCH" if is_bare => Some(Self::Catch),
            "RESOLVE" if is_bare => Some(Self::Resolve),
            _ => Words::of(head).map(Self::Words),
        }
    }
}

/// Where a caught client believes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    host: HostOrIp,
    port: u16,
}

impl Place {
    pub(super) fn new(host: HostOrIp, port: u16) -> Self {
        Self { host, port }
    }

    /// Returns where a request in an opened tunnel to this place goes: to the place.
    pub(super) fn inside(&self, head: &RequestHead) -> Result<Destination, DestinationError> {
        destination::inside(head, &self.host, self.port)
    }

    /// Returns `host:port`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Makes of a request to a server the request to a proxy that it stands for.
    fn complete(&self, head: &mut RequestHead) -> Result<(), Denial> {
        let authority = self.authority();
        let path = match head.target.as_str() {
            "*" => String::new(),
            path if path.starts_with('/') => path.to_owned(),
            _ => {
                head.target = authority;
                return Err(Denial::new(Code::BadRequest, "the request target is not a path"));
            }
        };
        head.target = format!("http://{authority}{path}");
        Ok(())
    }
}

/// What this is to its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// The proxy that it is.
    Proxy,
    /// The server of a place with which plain HTTP is spoken.
    Plain(Place),
    /// The server of a place, in a tunnel that was opened.
    Opened(Place),
    /// The server of a place with which something else is spoken, and whether that is TLS for certain.
    Tunnel { is_tls: bool },
}

impl Role {
    /// Returns the `host:port` with which the client believes to speak, when that is known before it has spoken.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Plain(place) | Self::Opened(place) => place.authority(),
            Self::Proxy | Self::Tunnel { .. } => String::new(),
        }
    }

    /// Completes a request by what the client did not know to say.
    pub(super) fn complete(&self, head: &mut RequestHead) -> Result<(), Denial> {
        match self {
            Self::Plain(place) => place.complete(head),
            Self::Proxy | Self::Opened(_) | Self::Tunnel { .. } => Ok(()),
        }
    }

    /// Returns what a request says of its place.
    pub(super) fn target(&self, head: &RequestHead) -> String {
        match self {
            Self::Opened(place) => place.authority(),
            Self::Proxy | Self::Plain(_) | Self::Tunnel { .. } => head.target.clone(),
        }
    }

    /// Returns where a request goes: from an opened tunnel, to the place of the tunnel.
    pub(super) fn destination(&self, head: &RequestHead) -> Result<Destination, DestinationError> {
        match self {
            Self::Opened(place) => place.inside(head),
            Self::Proxy | Self::Plain(_) | Self::Tunnel { .. } => destination::destination(head),
        }
    }
}

/// Takes a caught connection over.
pub(super) async fn catch(client: &mut Client, mut request: Request, head: &RequestHead) -> Next {
    let place = match parse_authority(&head.target, None) {
        Ok((host, port)) => Place { host, port },
        Err(error) => {
            request.describe(&head.method, &head.target);
            return client.refuse(&request, Denial::new(Code::BadHost, error.to_string())).await;
        }
    };
    let config = &request.snapshot.config;
    let is_plain = match ways(config, &place) {
        (true, true) if !config.is_tls_only(place.port) => speaks_http(client, config).await,
        (tunnel, plain) => !tunnel && (plain || place.port == HTTP_PORT),
    };
    if is_plain {
        client.role = Role::Plain(place);
        return Next::Keep;
    }
    client.role = Role::Tunnel { is_tls: config.is_tls_only(place.port) };
    let method = "CONNECT".to_owned();
    let head =
        RequestHead { method, target: place.authority(), version: Version::Http11, headers: Vec::new() };
    request.describe(&head.method, &head.target);
    client.serve_head(request, &head).await
}

const HTTP_PORT: u16 = 80;

/// The ports of a rule that names none.
const USUAL_PORTS: [u16; 2] = [HTTP_PORT, 443];

/// Returns whether a tunnel may go to a place, and whether plain HTTP may.
fn ways(config: &GuardConfig, place: &Place) -> (bool, bool) {
    let may = |scheme| config.policy.decide(&place.host, place.port, scheme).is_allowed();
    (may(config.tunnel(&place.host, place.port)), may(Scheme::Http))
}

/// Reads until it is clear whether a client asks in plain HTTP.
async fn speaks_http(client: &mut Client, config: &GuardConfig) -> bool {
    let limit = Duration::from_secs(config.limits.hello_timeout_seconds);
    loop {
        if let Some(answer) = is_http(&client.buffer) {
            return answer;
        }
        let patience = if client.buffer.is_empty() { FIRST_WORD } else { limit };
        let read = tokio::time::timeout(patience, client.stream.read(&mut client.buffer)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return false;
        }
    }
}

/// Tells whether bytes begin a request for a path; `None` while that is open.
fn is_http(bytes: &[u8]) -> Option<bool> {
    let word = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    if word > MAX_METHOD {
        return Some(false);
    }
    match (bytes.get(word), bytes.get(word + 1)) {
        (None, _) | (Some(b' '), None) => None,
        (Some(b' '), Some(b'/')) => Some(word > 0),
        _ => Some(false),
    }
}

/// Answers which ports of a name are open. A name without any is refused, and so stands in the log.
pub(super) async fn resolve(client: &mut Client, mut request: Request, head: &RequestHead) -> Next {
    request.describe(&head.method, &head.target);
    match ports(client, &mut request, head) {
        Ok(ports) => {
            client.tell(&response::ports(&ports)).await;
            Next::Close
        }
        Err(denial) => client.refuse(&request, denial).await,
    }
}

fn ports(client: &Client, request: &mut Request, head: &RequestHead) -> Result<Vec<u16>, Denial> {
    client.ledger.check()?;
    // Before the policy, since its answer repeats the name.
    request.note(request.words.clone())?;
    let host =
        HostOrIp::parse(&head.target).map_err(|error| Denial::new(Code::BadHost, error.to_string()))?;
    request.resolve_to(&host, 0);
    let config = &request.snapshot.config;
    config.policy.ports(&host).or_else(|decision| match asking::is_open(decision.code) {
        // It may be allowed while its client waits, so it needs an address to wait at.
        true if config.ask_seconds > 0 => Ok(USUAL_PORTS.to_vec()),
        _ => Err(Denial::of(&decision)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_path_is_told_from_everything_else() {
        let check = |bytes: &[u8], expected: Option<bool>| {
            assert_eq!(is_http(bytes), expected, "{}", bytes.escape_ascii());
        };
        check(b"GET / HTTP/1.1\r\n", Some(true));
        check(b"BASELINE-CONTROL /x", Some(true));
        for open in [&b""[..], b"GE", b"GET", b"GET ", b"SSH-"] {
            check(open, None);
        }
        // TLS, SSH, HTTP/2 with prior knowledge, and no method at all.
        for other in [&b"\x16\x03\x01"[..], b"SSH-2.0-x", b"PRI * HTTP/2.0", b" /", b"get /", &[b'A'; 21]] {
            check(other, Some(false));
        }
    }

    #[test]
    fn a_request_to_a_server_becomes_the_one_to_a_proxy() {
        let place = Place { host: HostOrIp::parse("a.example").unwrap(), port: 8080 };
        let check = |target: &str, expected: Option<&str>| {
            let (method, target) = ("GET".to_owned(), target.to_owned());
            let mut head = RequestHead { method, target, version: Version::Http11, headers: Vec::new() };
            let completed = place.complete(&mut head).ok().map(|()| head.target.clone());
            assert_eq!(completed.as_deref(), expected);
        };
        check("/x?y=//z", Some("http://a.example:8080/x?y=//z"));
        check("*", Some("http://a.example:8080"));
        for other in ["http://b.example/", "b.example:443", "x", "@b.example/", "?x"] {
            check(other, None);
        }
    }
}
