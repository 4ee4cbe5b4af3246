//! HTTP/2 in opened tunnels: each stream is decided, inspected and given its secrets like a request of HTTP/1.1.

use hyper::{HeaderMap, Request};
use serde_json::json;

use crate::support::certificates::{Roots, self_signed};
use crate::support::h2::{AnyBody, Client, Host, Message, full};
use crate::support::held::{HOLDER, HOSTS, VALUE, config, start};
use crate::support::inside::{ask, handshake};
use crate::support::{Guard, Upstream, open_tunnel};

/// A host of HTTP/2, and a guard that holds a secret for it.
struct World {
    host: Host,
    guard: Guard,
    ca: String,
}

impl World {
    fn new() -> Self {
        Self::answering(|_| Message { body: "ok".to_owned(), ..Message::default() })
    }

    fn answering(answer: impl Fn(&Message) -> Message + Send + Sync + 'static) -> Self {
        Self::with(answer, |_| ())
    }

    fn with(
        answer: impl Fn(&Message) -> Message + Send + Sync + 'static,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Self {
        let roots = Roots::new();
        let host = Host::start(&roots.server_for(&HOSTS), answer);
        let mut config = config(host.port, &roots.pem);
        let deny = json!({ "rule": format!("deny POST own.test:{}/**/git-receive-pack", host.port) });
        config["policy"]["rules"].as_array_mut().unwrap().push(deny);
        change(&mut config);
        let guard = start(&config);
        let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
        Self { host, guard, ca }
    }

    fn client(&self, host: &str) -> Client {
        let tunnel = open_tunnel(self.guard.address(), &format!("{host}:{}", self.host.port));
        Client::new(tunnel, (&self.ca, host))
    }

    fn request(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(format!("https://own.test:{}{path}", self.host.port))
    }

    fn get(&self, path: &str) -> Request<AnyBody> {
        self.request("GET", path).body(full("")).unwrap()
    }
}

#[test]
fn http_2_is_spoken_where_the_host_speaks_it_and_requests_are_decided_one_by_one() {
    let world = World::new();
    let mut client = world.client("own.test");
    for path in ["/first?q=1", "/second"] {
        let answer = client.ask(world.get(path)).unwrap();
        assert_eq!((answer.line.as_str(), answer.body.as_str()), ("200", "ok"));
    }
    let push = world.request("POST", "/o/r.git/git-receive-pack").body(full("x")).unwrap();
    let answer = client.ask(push).unwrap();
    assert_eq!((answer.line.as_str(), answer.header("x-egress-reason")), ("403", "denied_by_rule"));
    assert!(answer.body.contains("do not retry"), "{answer:?}");
    // A refusal is the end of its stream, and of no other.
    assert_eq!(client.ask(world.get("/third")).unwrap().line, "200");
    let lines: Vec<String> = world.host.seen().into_iter().map(|message| message.line).collect();
    let url = |path: &str| format!("GET https://own.test:{}{path}", world.host.port);
    assert_eq!(lines, [url("/first?q=1"), url("/second"), url("/third")]);
    assert_eq!(world.host.connections(), 1, "one connection of the client is one to the host");
    let opened = world.guard.decision(&json!({ "method": "CONNECT", "event": "request" }));
    let asked = world.guard.decision(&json!({ "method": "GET", "path": "/first", "reason": "answered 200" }));
    assert_eq!(asked["connection"], opened["connection"]);
    world.guard.decision(&json!({ "code": "denied_by_rule", "path": "/o/r.git/git-receive-pack" }));
    drop(client);
    let closed = world.guard.decision(&json!({ "event": "close" }));
    assert_eq!((&closed["verdict"], &closed["bytes_down"]), (&json!("allow"), &json!(6)));
}

#[test]
fn a_placeholder_becomes_the_value_over_http_2_and_nothing_else_changes() {
    let world = World::new();
    let mut client = world.client("own.test");
    let request = world
        .request("POST", &format!("/x?q={HOLDER}"))
        .header("authorization", format!("Bearer {HOLDER}"))
        .header("user-agent", format!("x/1 {HOLDER}"))
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .header("te", "trailers")
        .body(full(HOLDER))
        .unwrap();
    assert_eq!(client.ask(request).unwrap().line, "200");
    let seen = world.host.seen().remove(0);
    assert_eq!(seen.line, format!("POST https://own.test:{}/x?q={HOLDER}", world.host.port));
    assert_eq!(
        (seen.header("authorization"), seen.header("user-agent")),
        (&*format!("Bearer {VALUE}"), &*format!("x/1 {HOLDER}"))
    );
    assert_eq!((seen.header("te"), seen.headers.get_all("cookie").iter().count()), ("trailers", 2));
    assert_eq!(seen.body, HOLDER);
    world.guard.decision(&json!({ "method": "POST", "secrets": ["TOKEN"] }));
    // At another host it is refused, and nothing is sent.
    let mut client = world.client("else.test");
    let request = Request::builder()
        .uri(format!("https://else.test:{}/", world.host.port))
        .header("authorization", format!("Bearer {HOLDER}"));
    let answer = client.ask(request.body(full("")).unwrap()).unwrap();
    assert_eq!((answer.line.as_str(), answer.header("x-egress-reason")), ("403", "secret_wrong_host"));
    assert_eq!(world.host.seen().len(), 1);
}

#[test]
fn a_field_of_a_body_is_filled_over_http_2_and_what_went_up_is_limited() {
    let world = World::with(
        |_| Message { body: "ok".to_owned(), ..Message::default() },
        |config| {
            config["policy"]["secrets"][0]["places"] = json!(["form: secret"]);
            config["upload_limits"] = json!([{ "hosts": "*", "bytes": 100 }]);
            config["log"] = json!({ "exchanges": true });
        },
    );
    let mut client = world.client("own.test");
    let post = |path: &str, body: &str| {
        let request = world.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
        request.body(full(body)).unwrap()
    };
    assert_eq!(client.ask(post("/form", &format!("a=1&secret={HOLDER}"))).unwrap().line, "200");
    let seen = world.host.seen().remove(0);
    assert_eq!(seen.body, format!("a=1&secret={VALUE}"));
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    let line = world.guard.decision(&json!({ "path": "/form", "secrets": ["TOKEN"], "status": 200 }));
    assert_eq!(line["exchange"]["protocol"], "HTTP/2");
    let answer = client.ask(post("/large", &"x".repeat(90))).unwrap();
    assert_eq!((answer.line.as_str(), answer.header("x-egress-reason")), ("403", "upload_limit"));
    assert_eq!(world.host.seen().len(), 1);
}

#[test]
fn frames_and_trailers_go_both_ways_as_they_come() {
    let world = World::new();
    let mut client = world.client("own.test");
    let request = world.request("POST", "/stream").header("te", "trailers").body(()).unwrap();
    let mut exchange = client.begin(request);
    // Each is answered before the next is sent.
    for text in ["one", "two", "three"] {
        assert_eq!(exchange.send(text), text);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    assert_eq!(exchange.end(trailers.clone()).unwrap(), trailers);
}

#[test]
fn a_secret_is_found_in_headers_bodies_and_trailers_of_http_2() {
    let world = World::new();
    for request in [
        world.request("GET", &format!("/{VALUE}")).body(full("")).unwrap(),
        world.request("GET", "/").header("x-note", VALUE).body(full("")).unwrap(),
        world.request("GET", "/").header("authorization", format!("Bearer {VALUE}")).body(full("")).unwrap(),
        world.request("POST", "/").body(full(&format!("a={VALUE}"))).unwrap(),
        world.request("POST", "/").header("content-encoding", "br").body(full("x")).unwrap(),
    ] {
        let answer = world.client("own.test").ask(request).unwrap();
        assert_eq!(answer.line, "403", "{answer:?}");
    }
    // The answer has begun, so it is broken off.
    let mut client = world.client("own.test");
    let mut exchange = client.begin(world.request("POST", "/stream").body(()).unwrap());
    assert_eq!(exchange.send("one"), "one");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-note", VALUE.parse().unwrap());
    assert!(exchange.end(trailers).is_err());
    world.guard.decision(&json!({ "code": "dlp_secret", "path": "/stream" }));
    assert!(!world.host.text().contains(VALUE));
    assert!(world.guard.log().iter().all(|line| !line.to_string().contains(VALUE)));
}

#[test]
fn an_echo_over_http_2_is_masked_in_header_body_and_trailer() {
    let world = World::answering(|message| {
        let value = message.header("authorization").trim_start_matches("Bearer ").to_owned();
        let mut reply = Message { body: format!("<{value}>"), ..Message::default() };
        for headers in [&mut reply.headers, &mut reply.trailers] {
            headers.insert("x-echo", value.parse().unwrap());
            headers.insert("x-egress-reason", "forged".parse().unwrap());
            headers.insert("alt-svc", "h3=\":443\"".parse().unwrap());
        }
        reply
    });
    let mut client = world.client("own.test");
    let request = world.request("GET", "/").header("authorization", format!("Bearer {HOLDER}"));
    let answer = client.ask(request.body(full("")).unwrap()).unwrap();
    assert_eq!((answer.header("x-echo"), answer.trailer("x-echo")), (HOLDER, HOLDER));
    assert_eq!(answer.body, format!("<{}>", "*".repeat(VALUE.len())));
    for headers in [&answer.headers, &answer.trailers] {
        assert!(!headers.contains_key("x-egress-reason") && !headers.contains_key("alt-svc"), "{headers:?}");
    }
}

#[test]
fn large_bodies_pass_whole_over_http_2() {
    let world = World::answering(|message| Message { body: message.body.clone(), ..Message::default() });
    let body = "0123456789abcdef\n".repeat(200_000);
    let request = world.request("POST", "/up").body(full(&body)).unwrap();
    let answer = world.client("own.test").ask(request).unwrap();
    assert!(answer.body == body, "{} bytes of {}", answer.body.len(), body.len());
    assert!(world.host.seen()[0].body == body);
}

#[test]
fn the_host_chooses_the_protocol_and_the_client_gets_no_other() {
    let roots = Roots::new();
    // A host of both, by the order of what was offered; and one whose certificate nobody has signed.
    let both = Upstream::tls(roots.server_for(&HOSTS), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let guard = start(&config(both.port, &roots.pem));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("own.test:{}", both.port);
    let chosen = |protocols: &[&str]| {
        let tunnel = open_tunnel(guard.address(), &authority);
        let inside = handshake(tunnel, (&ca, "own.test"), protocols).ok()?;
        Some(inside.conn.alpn_protocol().map(<[u8]>::to_vec).unwrap_or_default())
    };
    assert_eq!(chosen(&["h2", "http/1.1"]).as_deref(), Some(&b"h2"[..]));
    assert_eq!(chosen(&["http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(chosen(&["h3", "http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(chosen(&[]).as_deref(), Some(&b""[..]));
    assert_eq!(chosen(&["h3"]), None);
    guard.decision(&json!({ "event": "close", "code": "not_http" }));
    let mut only = tokio_rustls::rustls::ServerConfig::clone(&roots.server_for(&HOSTS));
    only.alpn_protocols = vec![b"http/1.1".to_vec()];
    let old = Upstream::tls(std::sync::Arc::new(only), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let guard = start(&config(old.port, &roots.pem));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("own.test:{}", old.port);
    let tunnel = open_tunnel(guard.address(), &authority);
    let mut inside = handshake(tunnel, (&ca, "own.test"), &["h2", "http/1.1"]).unwrap();
    assert_eq!(inside.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = ask(&mut inside, &format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    assert_eq!((answer.status, old.connections()), (200, 1), "the connection that was asked is used");
}

#[test]
fn a_host_that_is_not_accepted_is_an_answer_over_http_2_too() {
    let roots = Roots::new();
    let host = Host::start(&self_signed("own.test"), |_| Message::default());
    let guard = start(&config(host.port, &roots.pem));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let tunnel = open_tunnel(guard.address(), &format!("own.test:{}", host.port));
    let mut client = Client::new(tunnel, (&ca, "own.test"));
    let request = Request::builder()
        .uri(format!("https://own.test:{}/", host.port))
        .header("authorization", format!("Bearer {HOLDER}"));
    let answer = client.ask(request.body(full("")).unwrap()).unwrap();
    assert_eq!((answer.line.as_str(), answer.header("x-egress-reason")), ("502", "upstream_certificate"));
    assert!(host.seen().is_empty());
}

#[test]
fn a_change_of_the_policy_counts_for_streams() {
    let world = World::new();
    let mut client = world.client("own.test");
    assert_eq!(client.ask(world.get("/x")).unwrap().line, "200");
    // The configuration is written anew with a rule more; the roots stay.
    let mut next = world.guard.config();
    let deny = json!({ "rule": format!("deny GET own.test:{}/x", world.host.port) });
    next["policy"]["rules"].as_array_mut().unwrap().push(deny);
    world.guard.reload(&next);
    world.guard.event("reloaded");
    let answer = client.ask(world.get("/x")).unwrap();
    assert_eq!((answer.line.as_str(), answer.header("x-egress-reason")), ("403", "denied_by_rule"));
    assert_eq!(client.ask(world.get("/y")).unwrap().line, "200");
    assert_eq!(world.host.connections(), 2, "a connection is good for the configuration that made it");
}
