//! The verbs besides `run`, as a person or a container engine calls them.

use std::process::{Command, Output};

use serde_json::json;

use crate::support::{Guard, binary};

fn call(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_reads_a_file_and_answers_for_a_url() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    let path = file.to_str().unwrap();
    let config = "version: 1\nbottle: dev\nlisten: 0.0.0.0:8888\npolicy:\n  rules:\n  - {rule: a.test, origin: 'claude-bottle.yaml:7'}\n  - rule: deny b.test\n";
    std::fs::write(&file, config).unwrap();
    let done = call(&["check", path]);
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(
        text(&done.stdout),
        "ok: bottle `dev`, listens on 0.0.0.0:8888, 2 rules, 0 static hosts, 0 private grants\n"
    );
    for (url, status, answer) in [
        (
            "https://A.test/x",
            0,
            "allowed: `a.test:443` is allowed (allowed; rule: a.test; from: claude-bottle.yaml:7)\n",
        ),
        (
            "a.test:22",
            1,
            "refused: `a.test` is allowed, but not a tunnel to port 22 (port_not_allowed; rule: a.test; from: claude-bottle.yaml:7)\n",
        ),
        (
            "http://b.test/",
            1,
            "refused: `b.test` is denied by a rule (denied_by_rule; rule: deny b.test; from: -)\n",
        ),
        (
            "http://c.test/",
            1,
            "refused: `c.test` is not on the allowlist (not_in_allowlist; rule: no rule; from: -)\n",
        ),
    ] {
        let done = call(&["check", path, "--url", url]);
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(status), answer.to_owned()), "{url}");
    }
    assert_eq!(call(&["check", path, "--url", "ftp://a.test/"]).status.code(), Some(1));
    std::fs::write(&file, format!("{config}extra: 1\n")).unwrap();
    let done = call(&["check", path]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("unknown field `extra`"), "{}", text(&done.stderr));
    assert_eq!(call(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn health_tells_a_living_guard_from_a_dead_and_a_hung_one() {
    let guard = Guard::start(&json!({}));
    let address = guard.address().to_string();
    assert_eq!(call(&["health", "--addr", &address]).status.code(), Some(0));
    assert!(guard.log().is_empty(), "a health check is no request");
    // Stopped, the kernel still accepts for it.
    guard.signal("STOP");
    guard.wait_until_stopped();
    assert_eq!(call(&["health", "--addr", &address]).status.code(), Some(1));
    guard.signal("CONT");
    assert_eq!(call(&["health", "--addr", &address]).status.code(), Some(0));
    drop(guard);
    assert_eq!(call(&["health", "--addr", &address]).status.code(), Some(1));
}
