//! Everything a client can make grow has an end.

use std::io::Write;

use serde_json::json;

use crate::support::{Guard, Upstream, connect, open_tunnel, read_all, send};

fn guard(upstream: &Upstream, limits: &serde_json::Value) -> Guard {
    Guard::start(&json!({
        "limits": limits,
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    }))
}

#[test]
fn heads_are_bounded() {
    let upstream = Upstream::ok();
    let guard = guard(&upstream, &json!({ "max_header_bytes": 2048, "max_headers": 10 }));
    let code = |bytes: &[u8]| send(guard.address(), bytes).code().to_owned();
    assert_eq!(
        code(&[b"GET http://ok.test/", &[b'a'; 4096][..], b" HTTP/1.1\r\n\r\n"].concat()),
        "too_large"
    );
    assert_eq!(
        code(&[b"GET http://ok.test/ HTTP/1.1\r\nX: ", &vec![b'a'; 300_000][..]].concat()),
        "too_large"
    );
    assert_eq!(
        code(format!("GET http://ok.test/ HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(11)).as_bytes()),
        "too_large"
    );
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn bodies_are_bounded() {
    let upstream = Upstream::ok();
    let guard = guard(&upstream, &json!({ "max_body_bytes": 1000 }));
    let a = format!("ok.test:{}", upstream.port);
    let known = format!("POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(send(guard.address(), known.as_bytes()).code(), "too_large");
    assert_eq!(upstream.connections(), 0);
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let chunked = format!(
        "POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(3)
    );
    assert_eq!(send(guard.address(), chunked.as_bytes()).code(), "too_large");
}

#[test]
fn slow_heads_are_ended() {
    let upstream = Upstream::ok();
    let guard = guard(&upstream, &json!({ "header_timeout_seconds": 1 }));
    let mut stream = connect(guard.address());
    stream.write_all(b"GET http://ok.test/ HTTP/1.1\r\nX: ").unwrap();
    let answer = String::from_utf8(read_all(&mut stream)).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("X-Egress-Reason: timeout\r\n"),
        "{answer}"
    );
    // One on which nothing comes is closed without a word, and without a line.
    let mut silent = connect(guard.address());
    assert!(read_all(&mut silent).is_empty());
    assert_eq!(guard.log().len(), 1);
}

#[test]
fn idle_tunnels_are_ended_and_busy_ones_are_not() {
    let upstream = Upstream::echo();
    let guard = guard(&upstream, &json!({ "idle_timeout_seconds": 3 }));
    let mut stream = open_tunnel(guard.address(), &format!("ok.test:{}", upstream.port));
    let begun = std::time::Instant::now();
    let mut last = begun;
    // Busy for longer than the limit, which is more than a busy machine lets a test wait: each byte comes back before the next goes.
    while begun.elapsed() < std::time::Duration::from_millis(3500) {
        last = std::time::Instant::now();
        stream.write_all(b"x").unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0]).unwrap();
    }
    assert!(read_all(&mut stream).is_empty());
    // The guard counts in whole milliseconds.
    assert!(last.elapsed() >= std::time::Duration::from_millis(2999), "it ended while it was busy");
    let line = guard.decision(&json!({ "event": "close", "code": "timeout" }));
    assert_eq!(line["verdict"], "error");
}

#[test]
fn a_stalled_upstream_is_ended() {
    // Accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let guard = Guard::start(&json!({
        "limits": { "idle_timeout_seconds": 1 },
        "policy": {
            "rules": [{ "rule": format!("ok.test:{port}") }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    }));
    let answer = send(
        guard.address(),
        format!("GET http://ok.test:{port}/ HTTP/1.1\r\nHost: ok.test:{port}\r\n\r\n").as_bytes(),
    );
    assert_eq!(answer.code(), "timeout");
}

#[test]
fn connections_are_bounded_and_places_come_back() {
    let upstream = Upstream::ok();
    let guard = guard(&upstream, &json!({ "max_connections": 4 }));
    let held: Vec<_> = (0..4)
        .map(|_| {
            // An answer shows that the place is taken.
            let mut stream = connect(guard.address());
            let a = format!("ok.test:{}", upstream.port);
            write!(stream, "GET http://{a}/ HTTP/1.1\r\nHost: {a}\r\n\r\n").unwrap();
            assert_eq!(crate::support::read_answer(&mut stream).status, 200);
            stream
        })
        .collect();
    let answer = send(guard.address(), b"");
    assert_eq!((answer.status, answer.code()), (503, "too_many_connections"));
    drop(held);
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while send(guard.address(), b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n").status != 403 {
        assert!(std::time::Instant::now() < deadline, "no place came back");
    }
}

#[test]
fn memory_stays_bounded_under_a_flood_of_bytes() {
    let upstream = Upstream::echo();
    let guard = guard(&upstream, &json!({}));
    let a = format!("ok.test:{}", upstream.port);
    // A client that sends and never reads, so that the way back is full.
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = open_tunnel(guard.address(), &a);
            stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
            std::thread::spawn(move || {
                let data = vec![b'x'; 1 << 20];
                let mut sent = 0;
                while sent < 64 && stream.write_all(&data).is_ok() {
                    sent += 1;
                }
                stream
            })
        })
        .collect();
    let held: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(kilobytes < 200_000, "the guard took {kilobytes} kB");
    drop(held);
}
