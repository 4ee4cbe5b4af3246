//! What may go through a tunnel, and what ends it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Guard, PATIENCE, Upstream, client_hello, get, open_tunnel, read_all, send};

/// A tunnel to `ok.test` on a port where only TLS may go.
fn tls_only(upstream: &Upstream, more: &[(&str, Value)]) -> Guard {
    let mut config = json!({
        "tls_ports": [upstream.port],
        "limits": { "hello_timeout_seconds": 1 },
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }, { "rule": format!("127.0.0.1:{}", upstream.port) }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }, { "host": "127.0.0.1", "range": "127.0.0.1/32" }],
        },
    });
    for (key, value) in more {
        config[*key] = value.clone();
    }
    Guard::start(&config)
}

fn raw(upstream: &Upstream) -> Guard {
    tls_only(upstream, &[("tls_ports", json!([]))])
}

fn tunnel(guard: &Guard, upstream: &Upstream) -> TcpStream {
    open_tunnel(guard.address(), &format!("ok.test:{}", upstream.port))
}

fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

/// Sends bytes into a fresh tunnel, which must end with nothing of them upstream and with this code in the log.
fn ends(guard: &Guard, upstream: &Upstream, bytes: &[u8], code: &str) {
    let mut stream = tunnel(guard, upstream);
    stream.write_all(bytes).ok();
    let alert = read_all(&mut stream);
    assert!(alert.is_empty() || alert == [21, 3, 3, 0, 2, 2, 49], "{}", alert.escape_ascii());
    let line = guard.decision(&json!({ "event": "close", "code": code }));
    assert!(matches!(line["verdict"].as_str(), Some("deny" | "error")), "{line}");
    assert_eq!(line["bytes_up"], 0);
    assert_eq!(upstream.received(), "", "{code}");
}

#[test]
fn tls_for_the_same_host_passes_however_it_is_split() {
    let upstream = Upstream::echo();
    let guard = tls_only(&upstream, &[]);
    for record in [1, 7, 16_000] {
        let hello = client_hello(Some("OK.test"), &[(10, &[0, 2, 0, 29])], record);
        let mut stream = tunnel(&guard, &upstream);
        echoes(&mut stream, &hello);
        // What follows is the client's own affair.
        echoes(&mut stream, b"anything at all");
    }
    let hello = client_hello(Some("ok.test"), &[], 100);
    let mut stream = tunnel(&guard, &upstream);
    for byte in &hello {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut back = vec![0; hello.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, hello);
}

#[test]
fn every_other_beginning_ends_the_tunnel() {
    let upstream = Upstream::echo();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (client_hello(Some("evil.test"), &[], 16_000), "sni_mismatch"),
        (client_hello(Some("evil.test"), &[], 3), "sni_mismatch"),
        (client_hello(Some("ok.test.evil.test"), &[], 16_000), "sni_mismatch"),
        (client_hello(Some("ok.test."), &[], 16_000), "sni_mismatch"),
        (client_hello(Some("127.0.0.1"), &[], 16_000), "sni_mismatch"),
        (client_hello(None, &[], 16_000), "sni_missing"),
        (client_hello(None, &[(10, &[0, 2, 0, 29])], 16_000), "sni_missing"),
        (client_hello(Some("ok.test"), &[(0xfe0d, &[0, 0, 1])], 16_000), "ech_refused"),
        (client_hello(Some("ok.test"), &[(0, b"\0\x0c\0\0\x09evil.test")], 16_000), "not_tls"),
        (client_hello(Some("ok\0.test"), &[], 16_000), "not_tls"),
        (b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_vec(), "not_tls"),
        (b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n".to_vec(), "not_tls"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "not_tls"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "not_tls"),
        (b"\x05\x01\x00".to_vec(), "not_tls"),
        (b"\0".to_vec(), "not_tls"),
        (b"\x80\x2e\x01\x03\x01\0".to_vec(), "not_tls"),
        (vec![22, 3, 1, 255, 255], "not_tls"),
        // Begun and never finished.
        (client_hello(Some("ok.test"), &[], 16_000)[..20].to_vec(), "timeout"),
    ];
    for (bytes, code) in cases {
        // A guard each, so that the log's line is this one's.
        let guard = tls_only(&upstream, &[]);
        ends(&guard, &upstream, &bytes, code);
    }
}

#[test]
fn a_hello_sent_together_with_connect_is_judged_as_well() {
    let upstream = Upstream::echo();
    let guard = tls_only(&upstream, &[]);
    let mut stream = crate::support::connect(guard.address());
    let head = format!("CONNECT ok.test:{} HTTP/1.1\r\n\r\n", upstream.port).into_bytes();
    stream.write_all(&[head, client_hello(Some("evil.test"), &[], 16_000)].concat()).unwrap();
    read_all(&mut stream);
    guard.decision(&json!({ "event": "close", "code": "sni_mismatch" }));
    assert_eq!(upstream.received(), "");
}

#[test]
fn encrypted_hellos_pass_when_that_is_allowed() {
    let upstream = Upstream::echo();
    let guard = tls_only(&upstream, &[("allow_ech", json!(true))]);
    echoes(&mut tunnel(&guard, &upstream), &client_hello(Some("ok.test"), &[(0xfe0d, &[0, 0, 1])], 16_000));
}

#[test]
fn a_tunnel_to_an_address_needs_tls_without_a_name() {
    let upstream = Upstream::echo();
    let guard = tls_only(&upstream, &[]);
    let authority = format!("127.0.0.1:{}", upstream.port);
    echoes(&mut open_tunnel(guard.address(), &authority), &client_hello(None, &[], 16_000));
    let mut stream = open_tunnel(guard.address(), &authority);
    stream.write_all(&client_hello(Some("evil.test"), &[], 16_000)).unwrap();
    read_all(&mut stream);
    guard.decision(&json!({ "event": "close", "code": "sni_mismatch" }));
}

#[test]
fn raw_bytes_pass_on_a_granted_port_but_tls_there_names_its_host() {
    let upstream = Upstream::echo();
    let guard = raw(&upstream);
    for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\0\x01\x02", b"\x16\x01 no TLS"] {
        echoes(&mut tunnel(&guard, &upstream), bytes);
    }
    echoes(&mut tunnel(&guard, &upstream), &client_hello(Some("ok.test"), &[], 16_000));
    echoes(&mut tunnel(&guard, &upstream), &client_hello(None, &[], 16_000));
    let mut stream = tunnel(&guard, &upstream);
    stream.write_all(&client_hello(Some("evil.test"), &[], 16_000)).unwrap();
    read_all(&mut stream);
    guard.decision(&json!({ "event": "close", "code": "sni_mismatch" }));
    assert!(!upstream.received().contains("evil.test"));
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let upstream = Upstream::greeting("SSH-2.0-server\r\n");
    let guard = raw(&upstream);
    let mut stream = tunnel(&guard, &upstream);
    let mut greeting = [0; 16];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-2.0-server\r\n");
    echoes(&mut stream, b"SSH-2.0-client\r\n");
}

#[test]
fn a_half_closed_tunnel_still_carries_the_answer() {
    let upstream = Upstream::echo();
    let guard = raw(&upstream);
    let mut stream = tunnel(&guard, &upstream);
    let data = vec![b'x'; 3_000_000];
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || read_all(&mut reader));
    stream.write_all(&data).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(reading.join().unwrap() == data, "the echo is not what was sent");
    let line = guard.decision(&json!({ "event": "close" }));
    assert_eq!((&line["bytes_up"], &line["bytes_down"]), (&json!(3_000_000), &json!(3_000_000)));
}

#[test]
fn a_request_in_a_tunnel_is_not_read_as_one() {
    let upstream = Upstream::echo();
    let guard = raw(&upstream);
    let mut stream = tunnel(&guard, &upstream);
    echoes(&mut stream, b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n");
    drop(stream);
    guard.decision(&json!({ "event": "close" }));
    assert!(guard.log().iter().all(|line| line["host"] != "evil.test"));
}

/// An upstream that floods and a client that never reads leave no room for the alert. Neither the tunnel nor its place may
/// wait for it.
#[test]
fn an_alert_that_is_not_read_holds_no_place() {
    let upstream = Upstream::flood();
    let guard = Guard::start(&json!({
        "limits": { "max_connections": 1 },
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    }));
    let authority = format!("ok.test:{}", upstream.port);
    let mut stream = open_tunnel(guard.address(), &authority);
    upstream.wait_until_blocked();
    stream.write_all(&client_hello(Some("evil.test"), &[], 16_384)).unwrap();
    guard.decision(&json!({ "event": "close", "code": "sni_mismatch" }));
    let deadline = Instant::now() + PATIENCE;
    while send(guard.address(), &get("other.test", "/")).code() == "too_many_connections" {
        assert!(Instant::now() < deadline, "the place of the tunnel never came back");
    }
    drop(stream);
}

/// Makes `ok.test` a server of SSH, as an SSH entry of a manifest does.
fn with_ssh(upstream: &Upstream, port: u16) -> Guard {
    let mut policy = json!({
        "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
        "hosts": { "ok.test": ["127.0.0.1"] },
        "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
    });
    policy["ssh"] = json!([{ "host": "ok.test", "port": port }]);
    tls_only(upstream, &[("policy", policy)])
}

#[test]
fn ssh_goes_to_its_own_server_on_a_port_of_tls() {
    let upstream = Upstream::echo();
    let guard = with_ssh(&upstream, upstream.port);
    let mut stream = tunnel(&guard, &upstream);
    echoes(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n");
    let mut stream = tunnel(&guard, &upstream);
    for byte in b"SSH-2.0-x\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    stream.read_exact(&mut [0; 11]).unwrap();
    // TLS for the host itself goes as before.
    echoes(&mut tunnel(&guard, &upstream), &client_hello(Some("ok.test"), &[], 16_000));
}

#[test]
fn what_is_neither_ssh_nor_tls_ends_the_tunnel_of_an_ssh_server() {
    let upstream = Upstream::echo();
    let guard = with_ssh(&upstream, upstream.port);
    for bytes in [&b"SSH-1.5-old\r\n"[..], b"ssh-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        ends(&guard, &upstream, bytes, "not_tls");
    }
    ends(&guard, &upstream, &client_hello(Some("evil.test"), &[], 16_000), "sni_mismatch");
    ends(&guard, &upstream, b"SSH-", "timeout");
    // Another port of the same host is no server of SSH.
    let guard = with_ssh(&upstream, upstream.port ^ 1);
    ends(&guard, &upstream, b"SSH-2.0-x\r\n", "not_tls");
}
