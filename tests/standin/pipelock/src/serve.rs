//! The one listener: health, tunnels and plain HTTP, a thread a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::config::Config;
use crate::{inspect, log};

/// What it decides by.
pub(crate) struct Rules {
    pub(crate) config: Config,
    pub(crate) secrets: Vec<String>,
}

impl Rules {
    pub(crate) fn in_text(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| text.contains(secret))
    }
}

/// What every line about a request has.
struct Request {
    id: String,
    client: String,
    method: String,
    target: String,
    began: Instant,
}

/// Listens until the process ends.
pub(crate) fn serve(listen: &str, rules: Rules) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    log::event("info", "startup", &[("listen", listen.into()), ("mode", "strict".into())]);
    let (rules, count) = (Arc::new(rules), AtomicU64::new(0));
    for stream in listener.incoming() {
        let (stream, rules) = (stream?, Arc::clone(&rules));
        let number = count.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || answer(&stream, &rules, number).ok());
    }
    Ok(())
}

fn answer(stream: &TcpStream, rules: &Rules, number: u64) -> io::Result<()> {
    let client = stream.peer_addr()?.ip().to_string();
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut head = first.clone();
    while !head.ends_with("\r\n\r\n") && !head.is_empty() {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut words = first.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (id, config) = (format!("req-{number}"), &rules.config);
    let request =
        Request { id, client, method: method.to_owned(), target: target.to_owned(), began: Instant::now() };
    match (method, target) {
        ("GET", "/health") => reply(stream, 200, r#"{"status":"healthy","version":"stand-in"}"#),
        ("CONNECT", _) if !config.forward_proxy.enabled => reply(stream, 405, "forward proxy is off"),
        ("CONNECT", _) => tunnel(stream, config, &request),
        // Of all requests, where pipelock counts those of a domain in a minute.
        _ if target.starts_with("http://")
            && number > config.fetch_proxy.monitoring.max_requests_per_minute as u64 =>
        {
            reply(stream, 429, "rate limit exceeded")
        }
        _ if target.starts_with("http://") => forward(stream, rules, &request, (&head, &mut reader)),
        _ => reply(stream, 404, "not found"),
    }
}

fn reply(mut stream: &TcpStream, status: u16, text: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}

impl Request {
    /// Writes a line about it. A tunnel has a target, anything else a URL.
    fn log(&self, level: &str, event: &str, more: &[(&str, Value)]) {
        let key = if self.method == "CONNECT" { "target" } else { "url" };
        self.log_at((key, &self.target), level, event, more);
    }

    fn log_at(&self, (key, place): (&str, &str), level: &str, event: &str, more: &[(&str, Value)]) {
        let mut fields: Vec<(&str, Value)> = Vec::new();
        if !event.starts_with("tunnel_") {
            fields.push(("method", self.method.as_str().into()));
        }
        fields.push((key, place.into()));
        fields.push(("client_ip", self.client.as_str().into()));
        fields.push(("request_id", self.id.as_str().into()));
        fields.extend_from_slice(more);
        log::event(level, event, &fields);
    }

    fn block(&self, stream: &TcpStream, host: &str) -> io::Result<()> {
        let reason = format!("domain not in allowlist: {host}");
        self.log("warn", "blocked", &[("scanner", "allowlist".into()), ("reason", reason.as_str().into())]);
        let before = if self.method == "CONNECT" { "CONNECT blocked" } else { "blocked" };
        reply(stream, 403, &format!("{before}: {reason}\n"))
    }

    fn took(&self) -> (&'static str, Value) {
        ("duration_ms", (self.began.elapsed().as_secs_f64() * 1000.0).into())
    }

    /// Connects; what does not resolve is refused by the scanner of private addresses.
    fn connect(&self, stream: &TcpStream, authority: &str) -> io::Result<Option<TcpStream>> {
        if let Err(error) = authority.to_socket_addrs() {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            let reason = format!("SSRF check failed: DNS resolution error for {host}: {error}: no such host");
            self.log("warn", "blocked", &[("scanner", "ssrf".into()), ("reason", reason.as_str().into())]);
            reply(stream, 403, &format!("blocked: {reason}\n"))?;
            return Ok(None);
        }
        match TcpStream::connect(authority) {
            Ok(upstream) => Ok(Some(upstream)),
            Err(error) => {
                self.log("error", "error", &[("error", error.to_string().into())]);
                reply(stream, 502, "dial failed")?;
                Ok(None)
            }
        }
    }
}

fn tunnel(stream: &TcpStream, config: &Config, request: &Request) -> io::Result<()> {
    let host = request.target.rsplit_once(':').map_or(request.target.as_str(), |(host, _)| host);
    if !config.allows(host) {
        return request.block(stream, host);
    }
    let Some(upstream) = request.connect(stream, &request.target)? else { return Ok(()) };
    let mut client = stream;
    client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")?;
    request.log("info", "tunnel_open", &[]);
    let (mut from, mut to) = (stream.try_clone()?, upstream.try_clone()?);
    let up = std::thread::spawn(move || {
        let count = io::copy(&mut from, &mut to).unwrap_or(0);
        to.shutdown(Shutdown::Write).ok();
        count
    });
    let (mut from, mut to) = (upstream, stream.try_clone()?);
    let down = io::copy(&mut from, &mut to).unwrap_or(0);
    stream.shutdown(Shutdown::Both).ok();
    let total = down + up.join().unwrap_or(0);
    request.log("info", "tunnel_close", &[("total_bytes", total.into()), request.took()]);
    Ok(())
}

fn forward(
    stream: &TcpStream,
    rules: &Rules,
    request: &Request,
    (head, rest): (&str, &mut BufReader<TcpStream>),
) -> io::Result<()> {
    let after = request.target.trim_start_matches("http://");
    let (authority, path) = after.find('/').map_or((after, "/"), |at| after.split_at(at));
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    if !rules.config.allows(host) {
        return request.block(stream, host);
    }
    let headers: Vec<&str> = head.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let body = body(&headers, rest)?;
    if let Some(finding) = inspect::request(rules, &request.target, &headers, &body) {
        let shown =
            if finding.redacted { format!("http://{authority}/[redacted]") } else { request.target.clone() };
        request.log_at(("url", &shown), "warn", finding.event, &finding.fields);
        return reply(stream, 403, &finding.said);
    }
    let dialled = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let Some(mut upstream) = request.connect(stream, &dialled)? else { return Ok(()) };
    let passed = headers.iter().filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
    let headers: String = passed.map(|line| format!("{line}\r\n")).collect();
    let head = format!("{} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n", request.method);
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    if let Some(fields) = inspect::answer(&text) {
        request.log("warn", "response_scan", &fields);
    }
    let mut client = stream;
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Write).ok();
    let status: u64 =
        text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    let size = ("size_bytes", (answer.len() as u64).into());
    request.log("info", "forward_http", &[("status_code", status.into()), size, request.took()]);
    Ok(())
}

/// Reads a body whose length is said.
fn body(headers: &[&str], rest: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = headers.iter().filter_map(|header| header.split_once(':'));
    let length = length.filter(|(key, _)| key.eq_ignore_ascii_case("content-length"));
    let length = length.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0);
    let mut body = Vec::new();
    rest.take(length).read_to_end(&mut body)?;
    Ok(body)
}
