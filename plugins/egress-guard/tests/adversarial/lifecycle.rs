//! Start, reload, stop, and the other ways to listen.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Guard, Upstream, binary, connect, free_port, get, open_tunnel, read_all, relay, relay_with, send,
};

pub(crate) fn allowing(upstream: &Upstream) -> Value {
    json!({
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    })
}

#[test]
fn a_reload_counts_for_later_requests_and_a_wrong_one_changes_nothing() {
    let upstream = Upstream::ok();
    let guard = Guard::start(&json!({}));
    let ask = || send(guard.address(), &get(&format!("ok.test:{}", upstream.port), "/")).status;
    assert_eq!(ask(), 403);
    guard.reload(&allowing(&upstream));
    guard.event("reloaded");
    assert_eq!(ask(), 200);
    guard.reload(&json!({ "policy": { "rules": [{ "rule": "*" }] } }));
    let failed = guard.event("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("`*`"), "{failed}");
    assert_eq!(ask(), 200);
}

#[test]
fn what_is_bound_at_the_start_cannot_be_reloaded() {
    let guard = Guard::start(&json!({}));
    guard.reload(&json!({ "log": { "stdout": false } }));
    let failed = guard.event("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("`log`"), "{failed}");
}

#[test]
fn a_stop_is_quick_and_leaves_no_tunnel_unlogged() {
    let upstream = Upstream::echo();
    let mut guard = Guard::start(&allowing(&upstream));
    let mut stream = open_tunnel(guard.address(), &format!("ok.test:{}", upstream.port));
    stream.write_all(b"hello").unwrap();
    upstream.wait_for("hello");
    let begun = Instant::now();
    guard.signal("TERM");
    assert!(guard.wait().success());
    // Far above what it takes on a busy machine, far below the time that the tunnel may be idle.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let line = guard.decision(&json!({ "event": "close" }));
    assert_eq!((&line["reason"], &line["bytes_up"]), (&json!("the guard stops"), &json!(5)));
    drop(read_all(&mut stream));
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_the_stop_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    let config =
        json!({ "version": 1, "bottle": "b", "listen": format!("unix:{}", dir.path().join("s").display()) });
    std::fs::write(&file, config.to_string()).unwrap();
    let mut child = Command::new(binary())
        .args(["run", "--config"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("listening"), "{line}");
    // More lines than a pipe holds, and nobody takes them out.
    let host = "x".repeat(60);
    for _ in 0..400 {
        let mut stream = std::os::unix::net::UnixStream::connect(dir.path().join("s")).unwrap();
        write!(stream, "CONNECT {host}.{host}.test:443 HTTP/1.1\r\n\r\n").unwrap();
        drop(stream);
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let begun = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn without_its_secrets_the_guard_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    for (dlp, part) in [
        (json!({ "secrets_env": "NOT_THERE" }), "`NOT_THERE`"),
        (json!({ "secrets_file": "/nowhere/secrets.json" }), "`/nowhere/secrets.json`"),
        (json!({ "secrets_env": "WRONG" }), "line 1"),
        (json!({ "exempt_rules": ["no-such-rule"] }), "`no-such-rule`"),
    ] {
        let config = json!({ "version": 1, "bottle": "b", "listen": "127.0.0.1:0", "dlp": dlp });
        std::fs::write(&file, config.to_string()).unwrap();
        let done = Command::new(binary())
            .args(["run", "--config"])
            .arg(&file)
            .env("WRONG", "hunter2-hunter2")
            .output()
            .unwrap();
        let message = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1));
        assert!(message.contains(part) && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_log_file_has_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("egress.jsonl");
    let mut guard = Guard::start(&json!({ "log": { "stdout": false, "file": path } }));
    for _ in 0..20 {
        assert_eq!(send(guard.address(), &get("evil.test", "/")).status, 403);
    }
    guard.signal("TERM");
    guard.wait();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 20);
    assert!(lines.iter().all(|line| line["host"] == "evil.test" && line["verdict"] == "deny"));
    assert!(guard.log().is_empty());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_unix_socket_and_a_relay_are_one_way_out() {
    let upstream = Upstream::echo();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("guard.sock");
    let listen = format!("unix:{}", socket.display());
    let guard = Guard::start_on(&listen, &allowing(&upstream), &[]);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let to = relay(&listen);
    assert_eq!(send(to, &get("evil.test", "/")).code(), "not_in_allowlist");
    let mut stream = open_tunnel(to, &format!("ok.test:{}", upstream.port));
    stream.write_all(b"through both").unwrap();
    // Echoed, so that nothing is under way when the guard goes.
    stream.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(guard.decision(&json!({ "method": "CONNECT" }))["client"], "unix");
    // Without the guard there is no way out: the relay goes nowhere else.
    drop(guard);
    assert!(read_all(&mut stream).is_empty());
    let answer = send(to, &get("evil.test", "/"));
    assert_eq!((answer.status, answer.head.as_str()), (0, ""));
}

#[test]
fn a_forwarded_port_leads_to_its_host_and_is_decided_like_any_request() {
    let upstream = Upstream::greeting("ready\n");
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", dir.path().join("guard.sock").display());
    let guard = Guard::start_on(&listen, &allowing(&upstream), &[]);
    let (allowed, refused) = (free_port(), free_port());
    let places = [
        (allowed.port(), format!("ok.test:{}", upstream.port)),
        (refused.port(), "evil.test:5432".to_owned()),
    ];
    relay_with(&listen, places.into());
    // The server speaks first, and the client knows nothing of a proxy.
    let mut stream = connect(allowed);
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"ready\n");
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut greeting[..4]).unwrap();
    assert_eq!(&greeting[..4], b"ping");
    guard.decision(&json!({ "host": "ok.test", "verdict": "allow" }));
    // One that the guard refuses ends without a byte of its answer.
    assert!(read_all(&mut connect(refused)).is_empty());
    guard.decision(&json!({ "host": "evil.test", "code": "not_in_allowlist" }));
}

#[test]
fn a_socket_for_everyone_is_open_to_other_users_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("guard.sock");
    let listen = format!("unix:{}", socket.display());
    let guard = Guard::start_on(&listen, &json!({ "socket_access": "everyone" }), &[]);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
    guard.reload(&json!({ "listen": listen }));
    let failed = guard.event("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("`socket_access`"), "{failed}");
}

#[test]
fn an_agent_that_is_there_before_the_guard_gets_nowhere_and_then_to_the_guard() {
    let upstream = Upstream::ok();
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", dir.path().join("guard.sock").display());
    let to = relay(&listen);
    let allowed = get(&format!("ok.test:{}", upstream.port), "/");
    for request in [&allowed, &get("evil.test", "/"), &b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n".to_vec()] {
        let answer = send(to, request);
        assert_eq!((answer.status, answer.head.as_str()), (0, ""));
    }
    assert_eq!(upstream.connections(), 0);
    let guard = Guard::start_on(&listen, &allowing(&upstream), &[]);
    assert_eq!(send(to, &get("evil.test", "/")).code(), "not_in_allowlist");
    assert_eq!(send(to, &allowed).status, 200);
    drop(guard);
}

#[test]
fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("guard.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let listen = format!("unix:{}", socket.display());
    let guard = Guard::start_on(&listen, &json!({}), &[]);
    let file = dir.path().join("second.yaml");
    std::fs::write(&file, json!({ "version": 1, "bottle": "b", "listen": listen }).to_string()).unwrap();
    let second = Command::new(binary()).args(["run", "--config"]).arg(&file).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
    drop(guard);
}
