//! What is allowed and what is not, asked over the wire.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Dns, Guard, Upstream, binary, connect, get, open_tunnel, read_all, read_answer, send};

use std::io::Write;

fn code(guard: &Guard, request: &str) -> String {
    send(guard.address(), request.as_bytes()).code().to_owned()
}

#[test]
fn an_empty_allowlist_denies_all() {
    let dns = Dns::start(&[("a.test", &[&["127.0.0.1"]])]);
    let resolver = dns.address.to_string();
    let empty = [
        json!({ "resolver": resolver }),
        json!({ "resolver": resolver, "policy": {} }),
        json!({ "resolver": resolver, "policy": { "rules": [] } }),
        json!({ "resolver": resolver, "policy": { "rules": null } }),
    ];
    for config in empty {
        let guard = Guard::start(&config);
        for host in ["a.test", "api.anthropic.com", "localhost"] {
            assert_eq!(code(&guard, &format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n")), "not_in_allowlist");
            let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(code(&guard, &request), "not_in_allowlist");
        }
    }
    assert!(dns.questions().is_empty());
}

#[test]
fn a_blank_or_wrong_rule_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for rules in [
        json!([{ "rule": "" }]),
        json!([{ "rule": " " }]),
        json!([{ "rule": "*" }]),
        json!([null]),
        json!(["a.test"]),
        json!("*"),
    ] {
        let file = dir.path().join("guard.yaml");
        let config =
            json!({ "version": 1, "bottle": "b", "listen": "127.0.0.1:0", "policy": { "rules": rules } });
        std::fs::write(&file, config.to_string()).unwrap();
        for verb in [&["check"][..], &["run", "--config"]] {
            let done = Command::new(binary()).args(verb).arg(&file).output().unwrap();
            assert_eq!(done.status.code(), Some(1), "{verb:?} {rules}");
            assert!(String::from_utf8_lossy(&done.stderr).starts_with("error: configuration "), "{rules}");
        }
    }
}

#[test]
fn only_the_ports_of_a_rule_are_open() {
    let dns = Dns::start(&[("a.test", &[&["127.0.0.1"]])]);
    let guard = Guard::start(&json!({
        "resolver": dns.address.to_string(),
        "policy": { "rules": [{ "rule": "a.test" }, { "rule": "deny b.test" }, { "rule": "b.test" }] },
    }));
    for port in [22, 25, 80, 110, 853, 2375, 3306, 8443] {
        assert_eq!(code(&guard, &format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\n")), "port_not_allowed");
    }
    for port in [22, 25, 443, 3306] {
        let request = format!("GET http://a.test:{port}/ HTTP/1.1\r\nHost: a.test:{port}\r\n\r\n");
        assert_eq!(code(&guard, &request), "port_not_allowed");
    }
    assert_eq!(code(&guard, "CONNECT b.test:443 HTTP/1.1\r\n\r\n"), "denied_by_rule");
    assert!(dns.questions().is_empty());
}

#[test]
fn addresses_are_refused_unless_a_rule_names_them() {
    let upstream = Upstream::ok();
    let guard = Guard::start(&json!({
        "policy": {
            "rules": [{ "rule": format!("127.0.0.1:{}", upstream.port) }, { "rule": "10.9.8.7:22" }],
            "private": [{ "host": "127.0.0.1", "range": "127.0.0.1/32" }],
        },
    }));
    assert_eq!(send(guard.address(), &get(&format!("127.0.0.1:{}", upstream.port), "/")).status, 200);
    assert_eq!(code(&guard, "CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n"), "ip_literal");
    assert_eq!(code(&guard, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n"), "ip_literal");
    assert_eq!(code(&guard, "CONNECT [::ffff:127.0.0.1]:443 HTTP/1.1\r\n\r\n"), "ip_literal");
    // Named by a rule, and still private without a grant.
    assert_eq!(code(&guard, "CONNECT 10.9.8.7:22 HTTP/1.1\r\n\r\n"), "private_address");
}

/// `ok.test` leads to the upstream, by a static address.
fn allowed(upstream: &Upstream) -> Value {
    json!({
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port), "origin": "bottle test, line 3" }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    })
}

#[test]
fn every_request_of_a_kept_connection_is_decided() {
    let upstream = Upstream::ok();
    let guard = Guard::start(&allowed(&upstream));
    let authority = format!("ok.test:{}", upstream.port);
    let request = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let mut stream = connect(guard.address());
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).body, "ok");
    }
    assert_eq!(upstream.connections(), 1, "the upstream connection is kept as well");
    stream.write_all(b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).code(), "not_in_allowlist");
    assert!(read_all(&mut stream).is_empty());
}

#[test]
fn a_pipelined_request_for_another_host_is_decided() {
    let upstream = Upstream::ok();
    let guard = Guard::start(&allowed(&upstream));
    let authority = format!("ok.test:{}", upstream.port);
    let both = format!(
        "GET http://{authority}/1 HTTP/1.1\r\nHost: {authority}\r\n\r\nGET http://evil.test/2 HTTP/1.1\r\nHost: evil.test\r\n\r\n\
         GET http://{authority}/3 HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    );
    let mut stream = connect(guard.address());
    stream.write_all(both.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).body, "ok");
    assert_eq!(read_answer(&mut stream).code(), "not_in_allowlist");
    assert!(read_all(&mut stream).is_empty(), "nothing is served behind a refusal");
    assert!(!upstream.received().contains("/2") && !upstream.received().contains("/3"));
}

#[test]
fn the_proxy_is_no_way_to_itself() {
    // The port has to be known before the policy is, so the guard listens on one that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = json!({
        "policy": {
            "rules": [{ "rule": format!("me.test:{port}") }, { "rule": format!("127.0.0.1:{port}") }],
            "hosts": { "me.test": ["127.0.0.1"] },
            "private": [{ "host": "me.test", "range": "127.0.0.0/8" }, { "host": "127.0.0.1", "range": "127.0.0.0/8" }],
        },
    });
    for listen in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        let guard = Guard::start_on(&listen, &config, &[]);
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        for host in ["me.test", "127.0.0.1"] {
            let connect = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n");
            assert_eq!(send(to, connect.as_bytes()).code(), "self_connect");
            assert_eq!(send(to, &get(&format!("{host}:{port}"), "/")).code(), "self_connect");
        }
        drop(guard);
    }
}

#[test]
fn there_is_no_endpoint() {
    let guard = Guard::start(&json!({}));
    for target in [
        "/",
        "/health",
        "/metrics",
        "/stats",
        "/api/v1/killswitch",
        "*",
        "/config",
        "/fetch?url=http://a.test/",
    ] {
        for method in ["GET", "POST", "OPTIONS", "PUT"] {
            let answer = send(
                guard.address(),
                format!("{method} {target} HTTP/1.1\r\nHost: guard\r\n\r\n").as_bytes(),
            );
            assert_eq!((answer.status, answer.code()), (400, "bad_request"), "{method} {target}");
        }
    }
}

#[test]
fn a_refusal_says_what_and_what_to_do() {
    let upstream = Upstream::ok();
    let guard = Guard::start(&allowed(&upstream));
    let answer = send(guard.address(), b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(body["host"], "ok.test");
    assert_eq!(body["port"], 443);
    assert_eq!(body["rule"], format!("ok.test:{}", upstream.port));
    assert!(body["hint"].as_str().unwrap().contains("egress.allowlist"));
    let line = guard.decision(&json!({ "verdict": "deny" }));
    assert_eq!(line["origin"], "bottle test, line 3");
    assert_eq!(line["method"], "CONNECT");
    assert_eq!(line["bottle"], "test");
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn a_tunnel_is_logged_when_it_opens_and_when_it_ends() {
    let upstream = Upstream::echo();
    let guard = Guard::start(&allowed(&upstream));
    let mut stream = open_tunnel(guard.address(), &format!("ok.test:{}", upstream.port));
    let opened = guard.decision(&json!({ "event": "request", "verdict": "allow", "method": "CONNECT" }));
    stream.write_all(b"hello").unwrap();
    upstream.wait_for("hello");
    drop(stream);
    let closed = guard.decision(&json!({ "event": "close" }));
    assert_eq!(closed["connection"], opened["connection"]);
    assert_eq!(closed["bytes_up"], 5);
}

#[test]
fn a_request_is_decided_by_its_method_and_path() {
    let upstream = Upstream::ok();
    let mut config = allowed(&upstream);
    let port = upstream.port;
    config["policy"]["rules"] = json!([
        { "rule": format!("GET,POST ok.test:{port}/o/**") },
        { "rule": format!("deny POST ok.test:{port}/**/git-receive-pack") },
    ]);
    let guard = Guard::start(&config);
    let authority = format!("ok.test:{port}");
    let ask = |method: &str, path: &str| {
        let request = format!(
            "{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        );
        send(guard.address(), request.as_bytes())
    };
    assert_eq!(ask("GET", "/o/r.git/info/refs?service=git-receive-pack").status, 200);
    assert_eq!(ask("POST", "/o/r.git/git-upload-pack").status, 200);
    let reached = upstream.received();
    for path in ["/o/r.git/git-receive-pack", "/o/r/GIT-receive-pack/?x", "/o/git%2dreceive-pack;x=1"] {
        assert_eq!(ask("POST", path).code(), "denied_by_rule", "{path}");
        assert_eq!(ask("post", path).code(), "denied_by_rule", "{path}");
    }
    for path in
        ["/o//r", "/o/../x", "/o/%2e%2e/x", "/o/%252e%252e/x", "/o/..;/x", "/o/..\\x", "/o%2fr", "/o/%00"]
    {
        assert_eq!(ask("GET", path).code(), "bad_path", "{path}");
    }
    assert_eq!(ask("PUT", "/o/r").code(), "method_not_allowed");
    assert_eq!(ask("get", "/o/r").code(), "method_not_allowed");
    assert_eq!(ask("GET", "/p").code(), "path_not_allowed");
    // A tunnel would hide what is denied.
    assert_eq!(code(&guard, &format!("CONNECT {authority} HTTP/1.1\r\n\r\n")), "denied_by_rule");
    assert_eq!(upstream.received(), reached);
}

#[test]
fn a_rule_that_nothing_could_enforce_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    for (rules, tls_ports) in [
        (json!([{ "rule": "GET a.test" }]), json!([])),
        (json!([{ "rule": "deny a.test:8443/x" }]), json!([8443])),
    ] {
        let config = json!({
            "version": 1, "bottle": "b", "listen": "127.0.0.1:0", "tls_ports": tls_ports, "policy": { "rules": rules },
        });
        std::fs::write(&file, config.to_string()).unwrap();
        let done = Command::new(binary()).args(["run", "--config"]).arg(&file).output().unwrap();
        assert_eq!(done.status.code(), Some(1));
        let says = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(says.contains("is about requests inside HTTPS"), "{says}");
    }
}

#[test]
fn check_answers_as_the_guard_decides() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    let rules = json!([{ "rule": "GET a.test:80/x/*" }, { "rule": "b.test" }]);
    let config =
        json!({ "version": 1, "bottle": "b", "listen": "127.0.0.1:0", "policy": { "rules": rules } });
    std::fs::write(&file, config.to_string()).unwrap();
    let check = |url: &str, method: &str| {
        let done = Command::new(binary())
            .arg("check")
            .arg(&file)
            .args(["--url", url, "--method", method])
            .output()
            .unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(check("http://a.test/x/y?z", "GET").starts_with("allowed: "));
    assert!(check("http://a.test/x/y", "PUT").contains("(method_not_allowed; rule: GET a.test:80/x/*"));
    assert!(check("http://a.test/y", "GET").contains("(path_not_allowed;"));
    assert!(check("https://b.test/any//thing", "PUT").starts_with("allowed: "));
    assert!(check("b.test:80", "GET").contains("(port_not_allowed;"));
}
