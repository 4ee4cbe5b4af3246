//! A proxy above the guard: what goes to it, what is decided before, and what is made of its answers.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::{Dns, Guard, Upstream, client_hello, connect, get, open_tunnel, read_answer, send};

/// A guard below a proxy. Names that are not direct can only be looked up by the proxy: the name server counts.
fn below(proxy: &Upstream, dns: &Dns, more: &[(&str, Value)]) -> Guard {
    let mut config = json!({
        "resolver": dns.address.to_string(),
        "limits": { "connect_timeout_seconds": 2, "hello_timeout_seconds": 2 },
        "upstream_proxy": { "address": format!("127.0.0.1:{}", proxy.port) },
        "policy": { "rules": [{ "rule": "far.test" }, { "rule": "far.test:22" }, { "rule": "*.near.test" }] },
    });
    for (key, value) in more {
        config[*key] = value.clone();
    }
    Guard::start(&config)
}

/// Opens every tunnel and then sends back what comes.
fn tunnelling() -> Upstream {
    Upstream::http("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
}

#[test]
fn a_tunnel_is_asked_for_and_begins_behind_the_answer() {
    let (proxy, dns) = (tunnelling(), Dns::start(&[]));
    let guard = below(&proxy, &dns, &[]);
    let mut stream = open_tunnel(guard.address(), "far.test:443");
    stream.write_all(&client_hello(Some("far.test"), &[], 16_000)).unwrap();
    proxy.wait_for("CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n\u{16}");
    assert_eq!(dns.questions(), Vec::<String>::new());
    // The gate behind the tunnel's answer is the same.
    let mut stream = open_tunnel(guard.address(), "far.test:443");
    stream.write_all(&client_hello(Some("evil.test"), &[], 16_000)).unwrap();
    guard.decision(&json!({ "event": "close", "code": "sni_mismatch" }));
    assert!(!proxy.received().contains("evil"));
}

#[test]
fn what_the_proxy_sends_behind_its_answer_belongs_to_the_tunnel() {
    let proxy = Upstream::http("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-far\r\n");
    let dns = Dns::start(&[]);
    let guard = below(&proxy, &dns, &[]);
    let mut stream = open_tunnel(guard.address(), "far.test:22");
    let mut banner = [0; 13];
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-far\r\n");
}

#[test]
fn a_plain_request_goes_whole_to_the_proxy() {
    let (proxy, dns) = (Upstream::ok(), Dns::start(&[]));
    let guard = below(&proxy, &dns, &[]);
    let answer = send(guard.address(), &get("far.test", "/a?b=c"));
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert!(proxy.received().starts_with("GET http://far.test/a?b=c HTTP/1.1\r\nhost: far.test\r\n"));
    assert_eq!(dns.questions(), Vec::<String>::new());
}

#[test]
fn the_policy_decides_before_the_proxy_is_asked() {
    let (proxy, dns) = (tunnelling(), Dns::start(&[]));
    let guard = below(&proxy, &dns, &[]);
    assert_eq!(send(guard.address(), &get("evil.test", "/")).code(), "not_in_allowlist");
    let mut stream = connect(guard.address());
    write!(stream, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).code(), "ip_literal");
    // An address that a rule names is still vetted: the proxy stands inside the company's network.
    let rules = json!({ "rules": [{ "rule": "169.254.169.254:443" }] });
    let guard = below(&proxy, &dns, &[("policy", rules)]);
    let mut stream = connect(guard.address());
    write!(stream, "CONNECT 169.254.169.254:443 HTTP/1.1\r\nHost: 169.254.169.254:443\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).code(), "private_address");
    assert_eq!((proxy.connections(), dns.questions().len()), (0, 0));
}

#[test]
fn a_host_that_is_named_goes_without_the_proxy() {
    let (proxy, dns, near) = (tunnelling(), Dns::start(&[]), Upstream::ok());
    let policy = json!({
        "rules": [{ "rule": format!("a.near.test:{}", near.port) }, { "rule": format!("far.test:{}", near.port) }],
        "hosts": { "far.test": ["127.0.0.1"] },
        "private": [{ "host": "far.test", "range": "127.0.0.1/32" }],
    });
    let address = format!("127.0.0.1:{}", proxy.port);
    let upstream = json!({ "address": address, "direct": ["*.near.test"] });
    let guard = below(&proxy, &dns, &[("policy", policy), ("upstream_proxy", upstream)]);
    let answer = send(guard.address(), &get(&format!("far.test:{}", near.port), "/"));
    assert_eq!((answer.status, near.connections()), (200, 1));
    // A name goes by the guard's own lookup and vetting.
    let answer = send(guard.address(), &get(&format!("a.near.test:{}", near.port), "/"));
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!((proxy.connections(), dns.questions().is_empty()), (0, false));
}

#[test]
fn credentials_go_to_the_proxy_and_to_nobody_else() {
    let (proxy, dns) = (tunnelling(), Dns::start(&[]));
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("secrets");
    std::fs::write(&file, r#"[{"name":"proxy","value":"me:canary-pw-77","hosts":[]}]"#).unwrap();
    let upstream = json!({ "address": format!("127.0.0.1:{}", proxy.port), "credentials": "proxy" });
    let with = [("upstream_proxy", upstream), ("dlp", json!({ "secrets_file": file }))];
    let guard = below(&proxy, &dns, &with);
    open_tunnel(guard.address(), "far.test:443");
    proxy.wait_for("\r\nProxy-Authorization: Basic bWU6Y2FuYXJ5LXB3LTc3\r\n");
    // One of the client's own is dropped, and the password in a request is a leak.
    let plain = Upstream::ok();
    let upstream = json!({ "address": format!("127.0.0.1:{}", plain.port), "credentials": "proxy" });
    let guard = below(&plain, &dns, &[("upstream_proxy", upstream), with[1].clone()]);
    let mut request = get("far.test", "/");
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Proxy-Authorization: Basic Zm9yZ2Vk\r\n\r\n");
    assert_eq!(send(guard.address(), &request).status, 200);
    let received = plain.received();
    assert!(received.contains("proxy-authorization: Basic bWU6Y2FuYXJ5LXB3LTc3\r\n"), "{received}");
    assert!(!received.contains("Zm9yZ2Vk"), "{received}");
    assert_eq!(send(guard.address(), &get("far.test", "/me:canary-pw-77")).code(), "dlp_secret");
    let logged = format!("{:?}", guard.log());
    assert!(!logged.contains("canary-pw") && !logged.contains("bWU6"), "{logged}");
}

#[test]
fn what_the_proxy_refuses_is_told_apart() {
    let dns = Dns::start(&[]);
    for (answer, reason) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "(407)"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403"),
        ("SSH-2.0-nonsense\r\n\r\n", "did not answer in HTTP"),
    ] {
        let proxy = Upstream::http(answer);
        let guard = below(&proxy, &dns, &[]);
        let mut stream = connect(guard.address());
        write!(stream, "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n").unwrap();
        let refusal = read_answer(&mut stream);
        assert_eq!((refusal.status, refusal.code()), (502, "upstream_proxy_failed"));
        assert!(refusal.body.contains(reason), "{refusal:?}");
        guard.decision(&json!({ "code": "upstream_proxy_failed", "verdict": "error" }));
    }
    // A client that is asked for a password would send the user's to whoever asks.
    let proxy = Upstream::http("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n");
    let guard = below(&proxy, &dns, &[]);
    assert_eq!(send(guard.address(), &get("far.test", "/")).code(), "upstream_proxy_failed");
}

#[test]
fn a_proxy_that_is_not_there_opens_no_other_way() {
    let (proxy, dns) = (Upstream::ok(), Dns::start(&[]));
    let gone = json!({ "address": "127.0.0.1:1" });
    let guard = below(&proxy, &dns, &[("upstream_proxy", gone)]);
    assert_eq!(send(guard.address(), &get("far.test", "/")).code(), "upstream_proxy_failed");
    let unknown = json!({ "address": "proxy.test:3128" });
    let guard = below(&proxy, &dns, &[("upstream_proxy", unknown)]);
    assert_eq!(send(guard.address(), &get("far.test", "/")).code(), "upstream_proxy_failed");
    assert_eq!(proxy.connections(), 0);
}
