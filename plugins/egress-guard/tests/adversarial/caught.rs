//! Connections of clients that know no proxy, as the guest program hands them on: decided, looked at and logged as if they had asked.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Answer, Dns, Guard, Upstream, client_hello, connect, read_all, read_answer, send};

pub(crate) const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
pub(crate) const SECRET: &str = "s3cr3tValue0123456789xyz";

/// `ok.test` is allowed on the upstream's port and leads there, and so is each name below `wild.test`.
pub(crate) fn guard(upstream: &Upstream, more: &[(&str, Value)]) -> (Guard, Dns) {
    let dns = Dns::start(&[("evil.test", &[&["127.0.0.1"]])]);
    let port = upstream.port;
    let mut config = json!({
        "resolver": dns.address.to_string(),
        "limits": { "hello_timeout_seconds": 1 },
        "dlp": { "secrets_env": "BOTTLE_SECRETS" },
        "policy": {
            "rules": [
                { "rule": format!("ok.test:{port}") },
                { "rule": format!("*.wild.test:{port}") },
                { "rule": "page.test:80" },
                { "rule": format!("denied.test:{port}") },
                { "rule": "deny denied.test" },
            ],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    });
    for (key, value) in more {
        config[*key] = value.clone();
    }
    let secrets = json!([{ "name": "API_TOKEN", "value": SECRET, "hosts": [] }]).to_string();
    (Guard::start_on("127.0.0.1:0", &config, &[("BOTTLE_SECRETS", &secrets)]), dns)
}

pub(crate) fn catch(guard: &Guard, place: &str, first: &[u8]) -> TcpStream {
    let mut stream = connect(guard.address());
    let preface = format!("CATCH {place} HTTP/1.1\r\n\r\n").into_bytes();
    stream.write_all(&[&preface, first].concat()).unwrap();
    stream
}

fn resolve(guard: &Guard, name: &str) -> Answer {
    send(guard.address(), format!("RESOLVE {name} HTTP/1.1\r\n\r\n").as_bytes())
}

#[test]
fn tls_of_a_caught_client_passes_for_its_own_host_alone() {
    let upstream = Upstream::echo();
    let (guard, _dns) = guard(&upstream, &[("tls_ports", json!([upstream.port]))]);
    let place = format!("ok.test:{}", upstream.port);
    let hello = client_hello(Some("ok.test"), &[], 7);
    let mut stream = catch(&guard, &place, &hello);
    // Nothing comes that the server did not send.
    let mut back = vec![0; hello.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, hello);
    let line = guard.decision(&json!({ "event": "request", "host": "ok.test", "port": upstream.port }));
    assert_eq!((&line["method"], &line["verdict"]), (&json!("CONNECT"), &json!("allow")));
    drop(stream);
    for (first, code) in [
        (client_hello(Some("evil.test"), &[], 16_000), "sni_mismatch"),
        (client_hello(None, &[], 16_000), "sni_missing"),
        (b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n".to_vec(), "not_tls"),
        (b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n".to_vec(), "not_tls"),
    ] {
        assert_eq!(read_all(&mut catch(&guard, &place, &first)), ALERT, "{code}");
        guard.decision(&json!({ "event": "close", "code": code }));
    }
    assert_eq!(upstream.received().matches("ok.test").count(), 1);
}

#[test]
fn a_page_for_a_caught_client_is_inspected_and_logged_like_any_other() {
    let upstream = Upstream::ok();
    let (guard, _dns) = guard(&upstream, &[]);
    let place = format!("ok.test:{}", upstream.port);
    let get = |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let mut stream = catch(&guard, &place, &get("/first?x=1", &place));
    assert_eq!(read_answer(&mut stream).body, "ok");
    // The next request of the same connection is decided as well.
    stream.write_all(&get("/second", &place)).unwrap();
    assert_eq!(read_answer(&mut stream).body, "ok");
    stream.write_all(&get("/third", "evil.test")).unwrap();
    assert_eq!(read_answer(&mut stream).code(), "host_mismatch");
    let got = upstream.received();
    assert!(got.contains("GET /first?x=1 HTTP/1.1") && got.contains("GET /second "), "{got}");
    let line = guard.decision(&json!({ "method": "GET", "host": "ok.test", "port": upstream.port }));
    assert_eq!((&line["verdict"], &line["event"]), (&json!("allow"), &json!("request")));
    for (first, code) in [
        (get(&format!("/?q={SECRET}"), &place), "dlp_secret"),
        (get("/", "evil.test"), "host_mismatch"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "host_mismatch"),
        (format!("GET /\n HTTP/1.1\r\nHost: {place}\r\n\r\n").into_bytes(), "bad_request"),
    ] {
        let answer = read_answer(&mut catch(&guard, &place, &first));
        assert_eq!(answer.code(), code, "{}", first.escape_ascii());
        assert!(!answer.body.contains(SECRET));
    }
    let got = upstream.received();
    assert!(!got.contains("third") && !got.contains(SECRET) && !got.contains("evil"), "{got}");
    assert!(guard.log().iter().all(|line| !line.to_string().contains(SECRET)));
}

#[test]
fn a_caught_client_of_plain_http_finds_no_proxy() {
    let upstream = Upstream::ok();
    let (guard, dns) = guard(&upstream, &[]);
    let place = format!("ok.test:{}", upstream.port);
    let first = format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n").into_bytes();
    for second in [
        format!("GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\n\r\n"),
        "CONNECT evil.test:443 HTTP/1.1\r\n\r\n".to_owned(),
        format!("CATCH {place} HTTP/1.1\r\n\r\n"),
        "RESOLVE evil.test HTTP/1.1\r\n\r\n".to_owned(),
        "POLICY any HTTP/1.1\r\n\r\n".to_owned(),
        "ASK evil.test HTTP/1.1\r\nX-Bottle-Why: x\r\n\r\n".to_owned(),
        "GIVEBACK ok.test HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let mut stream = catch(&guard, &place, &first);
        read_answer(&mut stream);
        stream.write_all(second.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).code(), "bad_request", "{second}");
    }
    // What is no plain HTTP on a port of plain HTTP alone says where it was to go.
    let hello = client_hello(Some("page.test"), &[], 16_000);
    assert_eq!(read_answer(&mut catch(&guard, "page.test:80", &hello)).code(), "bad_request");
    guard.decision(&json!({ "code": "bad_request", "host": "page.test:80" }));
    assert_eq!(dns.questions(), Vec::<String>::new());
}

#[test]
fn a_server_that_speaks_first_is_heard_and_ssh_is_carried() {
    let upstream = Upstream::greeting("SSH-2.0-server\r\n");
    let (guard, _dns) = guard(&upstream, &[]);
    let place = format!("ok.test:{}", upstream.port);
    for first in [&b""[..], b"SSH-2.0-client\r\n", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = catch(&guard, &place, first);
        let mut greeting = [0; 16];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-2.0-server\r\n");
        let mut back = vec![0; first.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, first);
    }
}

#[test]
fn what_no_rule_allows_is_refused_in_the_words_of_the_client() {
    let upstream = Upstream::ok();
    let (guard, dns) = guard(&upstream, &[]);
    let hello = client_hello(Some("evil.test"), &[], 16_000);
    for (place, code) in [
        ("evil.test:443", "not_in_allowlist"),
        ("ok.test:443", "port_not_allowed"),
        ("denied.test:443", "denied_by_rule"),
        ("127.0.0.1:443", "ip_literal"),
    ] {
        assert_eq!(read_all(&mut catch(&guard, place, &hello)), ALERT, "{place}");
        let line = guard.decision(&json!({ "code": code }));
        assert_eq!((&line["method"], &line["verdict"]), (&json!("CONNECT"), &json!("deny")));
    }
    let page = b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    assert_eq!(read_answer(&mut catch(&guard, "evil.test:80", page)).code(), "not_in_allowlist");
    assert_eq!(read_all(&mut catch(&guard, "evil.test:22", b"SSH-2.0-x\r\n")), b"");
    for odd in ["ok.test", "ok.test:", "ok.test:x", "ok..test:80", "u@ok.test:80", "[::1]:99999", ":443"] {
        assert_eq!(read_answer(&mut catch(&guard, odd, b"")).code(), "bad_host", "{odd}");
    }
    assert_eq!((upstream.connections(), dns.questions()), (0, Vec::new()));
}

#[test]
fn a_name_is_answered_with_its_ports_and_never_looked_up() {
    let upstream = Upstream::ok();
    let (guard, dns) = guard(&upstream, &[]);
    for (name, ports) in [
        ("ok.test", upstream.port.to_string()),
        ("OK.TEST", upstream.port.to_string()),
        ("any.thing.wild.test", upstream.port.to_string()),
        ("page.test", "80".to_owned()),
    ] {
        let answer = resolve(&guard, name);
        assert_eq!((answer.status, answer.header("x-egress-ports")), (200, Some(ports.as_str())), "{name}");
    }
    for (name, code) in [
        ("evil.test", "not_in_allowlist"),
        ("wild.test", "not_in_allowlist"),
        ("denied.test", "denied_by_rule"),
        ("ok.test.", "bad_host"),
        (r"ok\046test", "bad_host"),
        (&format!("{}.test", "a".repeat(64)), "bad_host"),
        (&["a"; 130].join("."), "bad_host"),
    ] {
        assert_eq!(resolve(&guard, name).code(), code, "{name}");
        let line = guard.decision(&json!({ "method": "RESOLVE", "code": code }));
        assert_eq!((&line["verdict"], &line["port"]), (&json!("deny"), &json!(0)));
    }
    guard.decision(&json!({ "method": "RESOLVE", "host": "evil.test" }));
    guard.decision_after(6);
    assert_eq!(guard.log().len(), 7, "a name that may be reached is not in the log until it is");
    assert_eq!((upstream.connections(), dns.questions()), (0, Vec::new()));
}

#[test]
fn a_name_with_a_secret_has_no_address_and_is_masked() {
    let upstream = Upstream::ok();
    let (guard, _dns) = guard(&upstream, &[]);
    for below in ["wild.test", "evil.test"] {
        let answer = resolve(&guard, &format!("{}.{below}", SECRET.to_ascii_lowercase()));
        assert_eq!(answer.code(), "dlp_secret");
        let hello = client_hello(Some(below), &[], 16_000);
        read_all(&mut catch(&guard, &format!("{SECRET}.{below}:{}", upstream.port), &hello));
    }
    guard.decision_after(3);
    let log = guard.log();
    assert_eq!(log.len(), 4, "{log:?}");
    for line in log {
        assert_eq!((&line["code"], &line["host"]), (&json!("dlp_secret"), &json!("***")), "{line}");
    }
}

#[test]
fn a_method_of_the_same_name_is_an_ordinary_request_to_a_server() {
    let upstream = Upstream::ok();
    let (guard, _dns) = guard(&upstream, &[]);
    let a = format!("ok.test:{}", upstream.port);
    for method in ["CATCH", "RESOLVE"] {
        let request = format!("{method} http://{a}/x HTTP/1.1\r\nHost: {a}\r\nConnection: close\r\n\r\n");
        assert_eq!(send(guard.address(), request.as_bytes()).status, 200);
    }
    assert!(upstream.received().contains("RESOLVE /x HTTP/1.1"));
}
