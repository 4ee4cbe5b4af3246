//! Tunnels that are opened: what goes in them is decided, inspected and refused as plain HTTP is, and hosts are verified.

use std::io::{Read, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::rustls::ServerConfig;

use crate::support::certificates::{Roots, self_signed};
use crate::support::inside::{Inside, ask, handshake, read_to_end};
use crate::support::{Dns, Guard, Upstream, binary, connect, open_tunnel, read_answer};

const VALUE: &str = "s3cr3tValue0123456789xyz";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// `ok.test` on a port of TLS, where rules decide.
fn config(port: u16, roots: &str, rules: &[&str]) -> Value {
    let rules: Vec<Value> =
        rules.iter().map(|rule| json!({ "rule": rule.replace("PORT", &port.to_string()) })).collect();
    json!({
        "tls_ports": [port],
        "roots": roots,
        "dlp": { "secrets_env": "BOTTLE_SECRETS" },
        "policy": {
            "intercept": "needed",
            "rules": rules,
            "hosts": { "ok.test": ["127.0.0.1"], "other.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }, { "host": "other.test", "range": "127.0.0.1/32" }],
        },
    })
}

const RULES: &[&str] = &["ok.test:PORT", "other.test:PORT", "deny POST ok.test:PORT/**/git-receive-pack"];

fn start(config: &Value) -> Guard {
    let secrets = json!([{ "name": "API_TOKEN", "value": VALUE, "hosts": ["ok.test"] }]).to_string();
    Guard::start_on("127.0.0.1:0", config, &[("BOTTLE_SECRETS", &secrets)])
}

/// Makes the certificate of a host.
type Make = Box<dyn Fn(&Roots) -> Arc<ServerConfig>>;

/// A host that answers, and a guard that opens tunnels to it.
struct World {
    upstream: Upstream,
    guard: Guard,
    ca: String,
}

impl World {
    fn new(answer: &'static str) -> Self {
        Self::with(answer, |roots| roots.server("ok.test"), |_| ())
    }

    fn with(
        answer: &'static str,
        server: impl FnOnce(&Roots) -> Arc<ServerConfig>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let roots = Roots::new();
        let upstream = Upstream::tls(server(&roots), answer);
        let mut config = config(upstream.port, &roots.pem, RULES);
        change(&mut config);
        let guard = start(&config);
        let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
        Self { upstream, guard, ca }
    }

    fn authority(&self) -> String {
        format!("ok.test:{}", self.upstream.port)
    }

    fn inside(&self) -> Inside {
        let tunnel = open_tunnel(self.guard.address(), &self.authority());
        handshake(tunnel, (&self.ca, "ok.test"), &[]).unwrap()
    }

    fn request(&self, line: &str, headers: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.authority())
    }
}

#[test]
fn requests_in_an_opened_tunnel_are_decided_one_by_one() {
    let world = World::new(OK);
    let mut inside = world.inside();
    for path in ["/first?q=1", "/o/r.git/info/refs?service=git-receive-pack"] {
        let answer = ask(&mut inside, &world.request(&format!("GET {path}"), "Accept: */*\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    assert_eq!(world.upstream.connections(), 1, "one connection of the client is one to the host");
    let answer = ask(&mut inside, &world.request("POST /o/r.git/git-receive-pack", "Content-Length: 0\r\n"));
    assert_eq!((answer.status, answer.code()), (403, "denied_by_rule"));
    assert!(answer.body.contains("do not retry"), "{answer:?}");
    assert_eq!(read_to_end(&mut inside), (Vec::new(), true), "nothing is served behind a refusal");
    for path in ["/o/r.git/GIT-receive-pack/", "/o/git%2Dreceive-pack;x?y"] {
        let request = world.request(&format!("POST {path}"), "Content-Length: 0\r\n");
        assert_eq!(ask(&mut world.inside(), &request).code(), "denied_by_rule", "{path}");
    }
    for path in ["/o//git-receive-pack", "/o/..;/git-receive-pack", "/o%2fgit-receive-pack", "/%252e%252e/x"]
    {
        let request = world.request(&format!("POST {path}"), "Content-Length: 0\r\n");
        let answer = ask(&mut world.inside(), &request);
        assert_eq!((answer.status, answer.code()), (400, "bad_path"), "{path}");
    }
    let received = world.upstream.received();
    assert!(received.starts_with("GET /first?q=1 HTTP/1.1\r\nhost: "), "{received}");
    assert!(received.contains("service=git-receive-pack") && !received.contains("POST"), "{received}");
}

#[test]
fn the_log_has_method_and_path_of_what_goes_inside_and_no_query() {
    let world = World::new(OK);
    let mut inside = world.inside();
    ask(&mut inside, &world.request("GET /first/x?token=abc", ""));
    let opened = world.guard.decision(&json!({ "method": "CONNECT", "event": "request" }));
    let asked = world.guard.decision(&json!({ "method": "GET", "event": "request", "path": "/first/x" }));
    assert_eq!(asked["connection"], opened["connection"]);
    assert_eq!((&asked["host"], &asked["reason"]), (&json!("ok.test"), &json!("answered 200")));
    ask(&mut inside, &world.request("POST /a/git-receive-pack?token=abc", "Content-Length: 0\r\n"));
    let refused = world.guard.decision(&json!({ "code": "denied_by_rule", "path": "/a/git-receive-pack" }));
    assert!(refused["rule"].as_str().unwrap().starts_with("deny POST"));
    let closed = world.guard.decision(&json!({ "event": "close" }));
    assert_eq!((&closed["verdict"], &closed["bytes_down"]), (&json!("allow"), &json!(2)));
    assert!(world.guard.log().iter().all(|line| !line.to_string().contains("abc")));
}

#[test]
fn a_secret_in_an_opened_tunnel_is_found_and_in_no_log() {
    let world = World::new(OK);
    let form = format!("a=1&b={VALUE}");
    let body = |text: &str| format!("Content-Length: {}\r\n\r\n{text}", text.len());
    for request in [
        world.request(&format!("GET /x/{VALUE}"), ""),
        world.request(&format!("GET /?q={VALUE}"), ""),
        world.request("GET /", &format!("X-Note: {VALUE}\r\n")),
        world.request("GET /s3cr3tVa/lue01234", "X-Rest: 56789xyz\r\n"),
        world.request("POST /", &body(&form)).trim_end_matches("\r\n").to_owned(),
    ] {
        let mut inside = world.inside();
        let answer = ask(&mut inside, &request);
        assert_eq!((answer.status, answer.code()), (403, "dlp_secret"), "{request}");
    }
    // What the policy refuses is not inspected to be refused, and is not in the log all the same.
    let request = world.request(&format!("POST /{VALUE}/git-receive-pack"), "Content-Length: 0\r\n");
    assert_eq!(ask(&mut world.inside(), &request).status, 403);
    world.guard.decision(&json!({ "path": "***", "code": "denied_by_rule" }));
    // Towards its own host the header for credentials is its place.
    let request = world.request("GET /own", &format!("Authorization: Bearer {VALUE}\r\n"));
    assert_eq!(ask(&mut world.inside(), &request).status, 200);
    let received = world.upstream.received();
    assert_eq!(received.matches(VALUE).count(), 1, "{received}");
    assert!(world.guard.log().iter().all(|line| !line.to_string().contains(VALUE)));
}

#[test]
fn what_is_ambiguous_or_for_another_place_is_refused_inside() {
    let world = World::new(OK);
    let authority = world.authority();
    for (request, code) in [
        (world.request("POST /", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "bad_request"),
        (world.request("POST /", "Content-Length: 1\r\nContent-Length: 1\r\n"), "bad_request"),
        (world.request("GET /", "A: b\r\n c: d\r\n"), "bad_request"),
        (format!("GET / HTTP/1.1\nHost: {authority}\n\n"), "bad_request"),
        (world.request(&format!("GET https://{authority}/"), ""), "bad_request"),
        (world.request("GET http://other.test/", ""), "bad_request"),
        (world.request(&format!("CONNECT {authority}"), ""), "bad_request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "bad_request"),
        ("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned(), "host_mismatch"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "host_mismatch"),
        (world.request("GET /", &format!("Host: {authority}\r\n")), "host_mismatch"),
        (world.request("GET /", "Connection: upgrade\r\nUpgrade: websocket\r\n"), "upgrade_refused"),
        (format!("CATCH other.test:{} HTTP/1.1\r\n\r\n", world.upstream.port), "bad_request"),
        ("RESOLVE other.test HTTP/1.1\r\n\r\n".to_owned(), "bad_request"),
    ] {
        assert_eq!(ask(&mut world.inside(), &request).code(), code, "{request}");
    }
    assert_eq!(world.upstream.received(), "");
    // Behind an allowed one, in one piece.
    let mut inside = world.inside();
    let both = format!("{}GET /2 HTTP/1.1\r\nHost: other.test\r\n\r\n", world.request("GET /1", ""));
    assert_eq!(ask(&mut inside, &both).status, 200);
    assert_eq!(read_answer(&mut inside).code(), "host_mismatch");
    assert!(!world.upstream.received().contains("/2"));
}

#[test]
fn a_host_is_verified_before_anything_is_said_to_it() {
    let other = Roots::new();
    let cases: [(&str, Make); 4] = [
        ("it has expired", Box::new(|roots| roots.expired("ok.test"))),
        ("it is for another name", Box::new(|roots| roots.server("evil.test"))),
        ("no trusted authority", Box::new(move |_| other.server("ok.test"))),
        ("no trusted authority", Box::new(|_| self_signed("ok.test"))),
    ];
    for (reason, server) in cases {
        let world = World::with(OK, server, |_| ());
        let mut inside = world.inside();
        let answer = ask(&mut inside, &world.request("GET /", &format!("Authorization: Bearer {VALUE}\r\n")));
        assert_eq!((answer.status, answer.code()), (502, "upstream_certificate"), "{reason}");
        assert!(answer.body.contains(reason), "{}", answer.body);
        assert_eq!(world.upstream.received(), "", "{reason}");
        world.guard.decision(&json!({ "code": "upstream_certificate", "verdict": "error" }));
    }
}

#[test]
fn a_host_that_speaks_no_tls_is_an_answer_inside() {
    let roots = Roots::new();
    let upstream = Upstream::ok();
    let guard = start(&config(upstream.port, &roots.pem, RULES));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("ok.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "ok.test"), &[]).unwrap();
    let answer =
        ask(&mut inside, &format!("GET / HTTP/1.1\r\nHost: {authority}\r\nX: {}\r\n\r\n", "y".repeat(64)));
    assert_eq!((answer.status, answer.code()), (502, "upstream_tls"));
    assert!(!upstream.received().contains("yyyy"));
}

#[test]
fn only_what_is_to_be_opened_is_opened() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("other.test"), OK);
    let guard = start(&config(upstream.port, &roots.pem, RULES));
    let authority = format!("other.test:{}", upstream.port);
    // The certificate is the host's own.
    let mut inside =
        handshake(open_tunnel(guard.address(), &authority), (&roots.pem, "other.test"), &["h2", "http/1.1"])
            .unwrap();
    assert_eq!(inside.conn.alpn_protocol(), Some(&b"h2"[..]));
    let answer = ask(&mut inside, &format!("POST /o/git-receive-pack HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    assert_eq!(answer.status, 200);
    drop(inside);
    guard.decision(&json!({ "event": "close" }));
    assert!(guard.log().iter().all(|line| line["path"] == Value::Null && line["method"] == "CONNECT"));
}

#[test]
fn every_host_is_opened_but_those_passed_through() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("other.test"), OK);
    let mut config = config(upstream.port, &roots.pem, RULES);
    config["policy"]["intercept"] = json!("all");
    let authority = format!("other.test:{}", upstream.port);
    let guard = start(&config);
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "other.test"), &[]).unwrap();
    assert_eq!(ask(&mut inside, &format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).status, 200);
    config["policy"]["passthrough"] = json!(["other.test"]);
    let guard = start(&config);
    handshake(open_tunnel(guard.address(), &authority), (&roots.pem, "other.test"), &[]).unwrap();
}

#[test]
fn where_every_host_is_opened_one_that_is_allowed_later_is_opened_too() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("other.test"), OK);
    let mut config = config(upstream.port, &roots.pem, &["ok.test:PORT"]);
    config["policy"]["intercept"] = json!("all");
    config["policy"]["passthrough"] = json!(["closed.test"]);
    let guard = start(&config);
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    config["policy"]["rules"] = json!([{ "rule": format!("other.test:{}", upstream.port) }]);
    guard.reload(&config);
    guard.event("reloaded");
    let authority = format!("other.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "other.test"), &[]).unwrap();
    assert_eq!(ask(&mut inside, &format!("GET /later HTTP/1.1\r\nHost: {authority}\r\n\r\n")).status, 200);
    guard.decision(&json!({ "host": "other.test", "path": "/later" }));
    // The authority is not good for what was never to be opened.
    config["policy"]["passthrough"] = json!([]);
    config["policy"]["rules"] = json!([{ "rule": "closed.test" }]);
    guard.reload(&config);
    let failed = guard.event("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("`closed.test`"), "{failed}");
}

#[test]
fn the_gate_for_tunnels_stands_before_an_opened_one() {
    let world = World::new(OK);
    let tunnel = open_tunnel(world.guard.address(), &world.authority());
    assert!(handshake(tunnel, (&world.ca, "other.test"), &[]).is_err());
    world.guard.decision(&json!({ "event": "close", "code": "sni_mismatch" }));
    let mut tunnel = open_tunnel(world.guard.address(), &world.authority());
    tunnel.write_all(world.request("GET /", "").as_bytes()).unwrap();
    world.guard.decision(&json!({ "event": "close", "code": "not_tls" }));
    assert_eq!(world.upstream.received(), "");
}

#[test]
fn a_client_that_does_not_trust_the_bottle_is_named() {
    let world = World::new(OK);
    let stranger = Roots::new();
    let tunnel = || open_tunnel(world.guard.address(), &world.authority());
    assert!(handshake(tunnel(), (&stranger.pem, "ok.test"), &[]).is_err());
    let line = world.guard.decision(&json!({ "event": "close", "code": "client_distrusts" }));
    assert_eq!(line["verdict"], "error");
    // Some clients end the handshake before they look, and leave.
    let before = world.guard.log().len();
    drop(handshake(tunnel(), (&world.ca, "ok.test"), &[]).unwrap());
    let opened = world.guard.decision_after(before);
    assert_eq!(opened["method"], "CONNECT");
    assert_eq!(world.guard.decision_after(before + 1)["code"], "client_left");
    assert_eq!(world.upstream.received(), "");
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    let world =
        World::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    let body = "0123456789abcdef\n".repeat(200_000);
    let mut inside = world.inside();
    let head =
        world.request("POST /up", &format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()));
    assert_eq!(ask(&mut inside, &head).status, 100);
    inside.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(inside.read(&mut byte).unwrap(), 1);
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("abc") && answer.contains("de"), "{answer}");
    let received = world.upstream.received();
    let (_, sent) = received.split_once("\r\n\r\n").unwrap();
    assert!(sent == body, "{} bytes of {}", sent.len(), body.len());
}

#[test]
fn an_answer_that_was_broken_off_does_not_end_as_if_it_were_whole() {
    let world = World::new("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc");
    let mut inside = world.inside();
    inside.write_all(world.request("GET /", "").as_bytes()).unwrap();
    let (bytes, ended) = read_to_end(&mut inside);
    assert!(bytes.ends_with(b"abc") && !ended, "{} {ended}", bytes.escape_ascii());
}

#[test]
fn a_caught_connection_is_opened_as_well() {
    let world = World::new(OK);
    let mut stream = connect(world.guard.address());
    write!(stream, "CATCH {} HTTP/1.1\r\n\r\n", world.authority()).unwrap();
    let mut inside = handshake(stream, (&world.ca, "ok.test"), &[]).unwrap();
    assert_eq!(ask(&mut inside, &world.request("GET /x", "")).status, 200);
    let request = world.request("POST /git-receive-pack", "Content-Length: 0\r\n");
    assert_eq!(ask(&mut inside, &request).code(), "denied_by_rule");
}

#[test]
fn a_reload_counts_inside_and_takes_no_host_the_authority_is_not_good_for() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("ok.test"), OK);
    let guard = start(&config(upstream.port, &roots.pem, RULES));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("ok.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "ok.test"), &[]).unwrap();
    let get = format!("GET /x HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    assert_eq!(ask(&mut inside, &get).status, 200);
    guard.reload(&config(upstream.port, &roots.pem, &[RULES, &["GET new.test"]].concat()));
    let failed = guard.event("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("`new.test`"), "{failed}");
    guard.reload(&config(upstream.port, &roots.pem, &[RULES, &["deny GET ok.test:PORT/x"]].concat()));
    guard.event("reloaded");
    assert_eq!(ask(&mut inside, &get).code(), "denied_by_rule");
}

#[test]
fn without_an_authority_to_trust_no_tunnel_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    for (roots, expected) in [
        ("", "names no authority"),
        ("words", "has no authority"),
        (
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
            "authority 1 is not a valid certificate",
        ),
    ] {
        let mut config = config(8443, roots, RULES);
        config["dlp"] = json!({});
        for (key, value) in [("version", json!(1)), ("bottle", json!("b")), ("listen", json!("127.0.0.1:0"))]
        {
            config[key] = value;
        }
        std::fs::write(&file, config.to_string()).unwrap();
        let done =
            std::process::Command::new(binary()).args(["run", "--config"]).arg(&file).output().unwrap();
        assert_eq!(done.status.code(), Some(1));
        let says = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(says.contains(expected), "{says}");
    }
}

#[test]
fn a_head_that_never_ends_and_a_silent_tunnel_are_closed() {
    let world = World::with(
        OK,
        |roots| roots.server("ok.test"),
        |config| {
            config["limits"] = json!({ "header_timeout_seconds": 1, "idle_timeout_seconds": 2 });
        },
    );
    let mut slow = world.inside();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let (answer, ended) = read_to_end(&mut slow);
    assert!(answer.starts_with(b"HTTP/1.1 408 ") && ended, "{}", answer.escape_ascii());
    world.guard.decision(&json!({ "event": "close" }));
    let before = world.guard.log().len();
    let (nothing, ended) = read_to_end(&mut world.inside());
    assert!(nothing.is_empty() && ended);
    assert_eq!(world.guard.decision_after(before + 1)["reason"], "closed", "a silent client has not left");
}

#[test]
fn chunks_inside_are_as_strict_as_outside() {
    let world = World::new(OK);
    for (body, code) in [
        ("3;x=y\r\nabc\r\n0\r\n\r\n", "bad_request"),
        ("3\nabc\r\n0\r\n\r\n", "bad_request"),
        ("+3\r\nabc\r\n0\r\n\r\n", "bad_request"),
        ("3\r\nabc\r\n0\r\nX: y\r\n\r\n", "trailers_refused"),
    ] {
        let head = world.request("POST /", "Transfer-Encoding: chunked\r\n");
        assert_eq!(ask(&mut world.inside(), &format!("{head}{body}")).code(), code, "{body}");
    }
}

#[test]
fn the_trust_files_are_next_to_the_socket_before_the_guard_listens() {
    let roots = Roots::new();
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", dir.path().join("guard.sock").display());
    let config = config(8443, &roots.pem, RULES);
    let secrets = [("BOTTLE_SECRETS", "[]")];
    let guard = Guard::start_on(&listen, &config, &secrets);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let ready = guard.event("listening");
    assert_eq!(read("ca.pem"), ready["ca"].as_str().unwrap());
    assert_eq!(read("bundle.pem"), format!("{}{}", roots.pem, read("ca.pem")));
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.count(), 4, "the key is in no file");
    // A next guard makes an authority of its own.
    let first = read("ca.pem");
    drop(guard);
    let guard = Guard::start_on(&listen, &config, &secrets);
    assert_ne!(read("ca.pem"), first);
    assert_ne!(guard.event("listening")["ca_sha256"], ready["ca_sha256"]);
}

#[test]
fn a_bottle_without_opened_tunnels_has_no_authority() {
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", dir.path().join("guard.sock").display());
    let guard = Guard::start_on(&listen, &json!({ "policy": { "rules": [{ "rule": "ok.test" }] } }), &[]);
    assert_eq!(guard.event("listening")["ca"], Value::Null);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_stop_ends_an_opened_tunnel_and_is_no_distrust() {
    let world = World::new(OK);
    let mut asked = world.inside();
    ask(&mut asked, &world.request("GET /", ""));
    let mut silent = world.inside();
    world.guard.signal("TERM");
    assert_eq!((read_to_end(&mut asked).0.len(), read_to_end(&mut silent).0.len()), (0, 0));
    world.guard.decision_after(4);
    let ends: Vec<Value> = world.guard.log().into_iter().filter(|line| line["event"] == "close").collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|line| line["reason"] == "the guard stops"), "{ends:?}");
}

#[test]
fn an_opened_tunnel_goes_through_the_proxy_above_as_a_tunnel() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("far.test"), OK);
    let proxy = Upstream::tunnels_to(upstream.port);
    let mut config = config(8443, &roots.pem, &["GET far.test:8443/x"]);
    config["upstream_proxy"] = json!({ "address": format!("127.0.0.1:{}", proxy.port) });
    let guard = start(&config);
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let tunnel = || handshake(open_tunnel(guard.address(), "far.test:8443"), (&ca, "far.test"), &[]).unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: far.test:8443\r\n\r\n");
    assert_eq!(ask(&mut tunnel(), &get("/x")).status, 200);
    assert_eq!(ask(&mut tunnel(), &get("/y")).code(), "path_not_allowed");
    assert!(upstream.received().starts_with("GET /x HTTP/1.1\r\n"), "{}", upstream.received());
    assert!(proxy.received().starts_with("CONNECT far.test:8443 HTTP/1.1\r\n"));
    assert!(!proxy.received().contains("GET "));
}

#[test]
fn a_name_is_looked_up_once_for_a_tunnel_and_its_first_request() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("ok.test"), OK);
    let dns = Dns::start(&[("ok.test", &[&["127.0.0.1"], &["192.0.2.1"]])]);
    let mut config = config(upstream.port, &roots.pem, RULES);
    config["resolver"] = json!(dns.address.to_string());
    config["policy"]["hosts"] = json!({});
    let guard = start(&config);
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("ok.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "ok.test"), &[]).unwrap();
    let asked = dns.questions().len();
    let get = format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    for _ in 0..3 {
        assert_eq!(ask(&mut inside, &get).status, 200);
    }
    assert_eq!(dns.questions().len(), asked);
}

#[test]
fn no_key_is_logged() {
    let roots = Roots::new();
    let upstream = Upstream::tls(roots.server("ok.test"), OK);
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let env = [("BOTTLE_SECRETS", "[]"), ("SSLKEYLOGFILE", keys.to_str().unwrap())];
    let guard = Guard::start_on("127.0.0.1:0", &config(upstream.port, &roots.pem, RULES), &env);
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("ok.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "ok.test"), &[]).unwrap();
    assert_eq!(ask(&mut inside, &format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).status, 200);
    assert!(!keys.exists());
}
