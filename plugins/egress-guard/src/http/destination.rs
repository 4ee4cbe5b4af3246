//! Where a request wants to go: one host and port, agreed on by the request line and the Host header.

use claude_bottle_egress_policy::{Code, HostError, HostOrIp, Scheme, parse_authority};

use super::head::{RequestHead, Version};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A destination that every part of the head agrees on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Tunnel, plain HTTP, or a request in an opened tunnel.
    pub scheme: Scheme,
    /// The canonical host.
    pub host: HostOrIp,
    /// The port.
    pub port: u16,
    /// Path and query in origin form; empty for a tunnel.
    pub path: String,
}

impl Destination {
    /// Returns the Host header for the upstream.
    pub fn host_header(&self) -> String {
        let usual = if self.scheme == Scheme::Https { HTTPS_PORT } else { HTTP_PORT };
        if self.port == usual { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// Why a head names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// The authority is wrong.
    #[error("{source}")]
    Host {
        /// What is wrong with it.
        source: HostError,
    },
    /// A request for the guard itself, in origin or asterisk form.
    #[error("the request target is not an absolute URL; this is a proxy")]
    NotAbsolute,
    /// A request in an opened tunnel that names another place, or none.
    #[error("in a tunnel the request target is a path")]
    NotAPath,
    /// Another scheme than http.
    #[error("the URL's scheme is not http; https goes through CONNECT")]
    Scheme,
    /// A fragment, which is never sent.
    #[error("the URL has a fragment")]
    Fragment,
    /// No Host header, or more than one.
    #[error("the request has not exactly one Host header")]
    HostHeader,
    /// The Host header names another host.
    #[error("the Host header differs from the request target")]
    Mismatch,
}

impl DestinationError {
    /// Returns the stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Host { .. } => Code::BadHost,
            Self::NotAbsolute | Self::NotAPath | Self::Fragment => Code::BadRequest,
            Self::Scheme => Code::BadScheme,
            Self::HostHeader | Self::Mismatch => Code::HostMismatch,
        }
    }
}

/// Returns the destination of a request.
pub fn destination(head: &RequestHead) -> Result<Destination, DestinationError> {
    let wanted = if head.method == "CONNECT" { tunnel(&head.target)? } else { plain(&head.target)? };
    check_host_header(head, &wanted)?;
    Ok(wanted)
}

/// Returns the destination of a request in an opened tunnel, which is the place of the tunnel.
pub fn inside(head: &RequestHead, host: &HostOrIp, port: u16) -> Result<Destination, DestinationError> {
    if head.method == "CONNECT" || !head.target.starts_with('/') {
        return Err(DestinationError::NotAPath);
    }
    if head.target.contains('#') {
        return Err(DestinationError::Fragment);
    }
    let wanted = Destination { scheme: Scheme::Https, host: host.clone(), port, path: head.target.clone() };
    check_host_header(head, &wanted)?;
    Ok(wanted)
}

fn tunnel(target: &str) -> Result<Destination, DestinationError> {
    let (host, port) = parse_authority(target, None).map_err(|source| DestinationError::Host { source })?;
    Ok(Destination { scheme: Scheme::Connect, host, port, path: String::new() })
}

fn plain(target: &str) -> Result<Destination, DestinationError> {
    let (scheme, rest) = target.split_once("://").ok_or(DestinationError::NotAbsolute)?;
    if target.starts_with('/') {
        return Err(DestinationError::NotAbsolute);
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(DestinationError::Scheme);
    }
    if rest.contains('#') {
        return Err(DestinationError::Fragment);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) =
        parse_authority(authority, Some(HTTP_PORT)).map_err(|source| DestinationError::Host { source })?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Destination { scheme: Scheme::Http, host, port, path })
}

/// CONNECT may come without a Host header, since old clients send none and the target says everything.
fn check_host_header(head: &RequestHead, wanted: &Destination) -> Result<(), DestinationError> {
    let mut values = head.values("host");
    let Some(value) = values.next() else {
        let optional = wanted.scheme == Scheme::Connect || head.version == Version::Http10;
        return if optional { Ok(()) } else { Err(DestinationError::HostHeader) };
    };
    if values.next().is_some() {
        return Err(DestinationError::HostHeader);
    }
    let text = std::str::from_utf8(value).map_err(|_| DestinationError::Mismatch)?;
    let default = match wanted.scheme {
        Scheme::Connect => wanted.port,
        Scheme::Http => HTTP_PORT,
        Scheme::Https => HTTPS_PORT,
    };
    let named = parse_authority(text, Some(default)).map_err(|source| DestinationError::Host { source })?;
    if named == (wanted.host.clone(), wanted.port) { Ok(()) } else { Err(DestinationError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;

    fn check(request_line: &str, headers: &str, expected: Result<&str, Code>) {
        let text = format!("{request_line}\r\n{headers}\r\n");
        let head = head::parse(text.as_bytes(), 16).unwrap();
        let got =
            destination(&head).map(|d| format!("{}:{}{}", d.host, d.port, d.path)).map_err(|e| e.code());
        assert_eq!(got, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn reads_tunnels() {
        check("CONNECT A.example:443 HTTP/1.1", "Host: a.EXAMPLE:443\r\n", Ok("a.example:443"));
        check("CONNECT a.example:443 HTTP/1.1", "Host: a.example\r\n", Ok("a.example:443"));
        check("CONNECT a.example:443 HTTP/1.1", "", Ok("a.example:443"));
        check("CONNECT [2001:db8::1]:443 HTTP/1.0", "", Ok("[2001:db8::1]:443"));
        check("CONNECT a.example HTTP/1.1", "", Err(Code::BadHost));
        check("CONNECT http://a.example:443 HTTP/1.1", "", Err(Code::BadHost));
        check("CONNECT u@a.example:443 HTTP/1.1", "", Err(Code::BadHost));
        check("CONNECT a.example:443/ HTTP/1.1", "", Err(Code::BadHost));
        check("CONNECT a.example%00.b.example:443 HTTP/1.1", "", Err(Code::BadHost));
    }

    #[test]
    fn reads_absolute_urls() {
        check("GET http://a.example/x?y=1 HTTP/1.1", "Host: a.example\r\n", Ok("a.example:80/x?y=1"));
        check("GET HTTP://A.example:8080?y HTTP/1.1", "Host: a.example:8080\r\n", Ok("a.example:8080/?y"));
        check("GET http://a.example HTTP/1.0", "", Ok("a.example:80/"));
        check("GET http://a.example/ HTTP/1.1", "Host: a.example:80\r\n", Ok("a.example:80/"));
        check("GET / HTTP/1.1", "Host: a.example\r\n", Err(Code::BadRequest));
        check("GET /http://a.example/ HTTP/1.1", "Host: a.example\r\n", Err(Code::BadRequest));
        check("OPTIONS * HTTP/1.1", "Host: a.example\r\n", Err(Code::BadRequest));
        check("GET https://a.example/ HTTP/1.1", "Host: a.example\r\n", Err(Code::BadScheme));
        check("GET ws://a.example/ HTTP/1.1", "Host: a.example\r\n", Err(Code::BadScheme));
        check("GET file:///etc/passwd HTTP/1.1", "Host: a.example\r\n", Err(Code::BadScheme));
        check("GET http:///etc/passwd HTTP/1.1", "Host: a.example\r\n", Err(Code::BadHost));
        check("GET http://a.example/#x HTTP/1.1", "Host: a.example\r\n", Err(Code::BadRequest));
        check("GET http://a.example\\@b.example/ HTTP/1.1", "Host: a.example\r\n", Err(Code::BadHost));
    }

    #[test]
    fn in_a_tunnel_every_part_names_its_place() {
        let check = |port: u16, request_line: &str, headers: &str, expected: Result<&str, Code>| {
            let text = format!("{request_line}\r\n{headers}\r\n");
            let head = head::parse(text.as_bytes(), 16).unwrap();
            let host = HostOrIp::parse("a.example").unwrap();
            let got = inside(&head, &host, port);
            let got = got.map(|d| format!("{} {}", d.host_header(), d.path)).map_err(|e| e.code());
            assert_eq!(got, expected.map(str::to_owned), "{text}");
        };
        check(443, "GET /x?y HTTP/1.1", "Host: A.example\r\n", Ok("a.example /x?y"));
        check(443, "GET // HTTP/1.1", "Host: a.example:443\r\n", Ok("a.example //"));
        check(8443, "GET / HTTP/1.1", "Host: a.example:8443\r\n", Ok("a.example:8443 /"));
        check(443, "GET / HTTP/1.0", "", Ok("a.example /"));
        for host in ["b.example", "a.example:80", "a.example:8443"] {
            check(443, "GET / HTTP/1.1", &format!("Host: {host}\r\n"), Err(Code::HostMismatch));
        }
        check(8443, "GET / HTTP/1.1", "Host: a.example\r\n", Err(Code::HostMismatch));
        check(443, "GET / HTTP/1.1", "", Err(Code::HostMismatch));
        check(443, "GET / HTTP/1.1", "Host: a.example\r\nHost: b.example\r\n", Err(Code::HostMismatch));
        for line in [
            "GET https://a.example/ HTTP/1.1",
            "GET http://b.example/ HTTP/1.1",
            "CONNECT a.example:443 HTTP/1.1",
            "CONNECT /x HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET /#x HTTP/1.1",
        ] {
            check(443, line, "Host: a.example\r\n", Err(Code::BadRequest));
        }
    }

    #[test]
    fn host_header_and_target_agree() {
        for host in ["b.example", "a.example:81", "a.example:443"] {
            check("GET http://a.example/ HTTP/1.1", &format!("Host: {host}\r\n"), Err(Code::HostMismatch));
        }
        for host in ["b.example:443", "a.example:80", "b.example"] {
            check("CONNECT a.example:443 HTTP/1.1", &format!("Host: {host}\r\n"), Err(Code::HostMismatch));
        }
        check("GET http://a.example/ HTTP/1.1", "", Err(Code::HostMismatch));
        check(
            "GET http://a.example/ HTTP/1.1",
            "Host: a.example\r\nHost: a.example\r\n",
            Err(Code::HostMismatch),
        );
        check(
            "CONNECT a.example:443 HTTP/1.1",
            "Host: a.example\r\nHost: b.example\r\n",
            Err(Code::HostMismatch),
        );
        check("GET http://a.example/ HTTP/1.1", "Host: a.example.\r\n", Err(Code::BadHost));
        check("GET http://a.example/ HTTP/1.1", "Host:\r\n", Err(Code::BadHost));
    }
}
