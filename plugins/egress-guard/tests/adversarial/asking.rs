//! Requests that wait for an answer, which is another policy.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Guard, Upstream, connect, get, read_answer, send};

/// A policy by which these names lead to the upstream, and one is denied.
fn policy(upstream: &Upstream, names: &[&str], denied: &[&str]) -> Value {
    let place = |name: &str| format!("{name}:{}", upstream.port);
    let allow = names.iter().map(|name| json!({ "rule": place(name) }));
    let deny = denied.iter().map(|name| json!({ "rule": format!("deny {name}") }));
    let known = ["ok.test", "other.test"];
    let hosts: serde_json::Map<_, _> =
        known.iter().map(|name| ((*name).to_owned(), json!(["127.0.0.1"]))).collect();
    let private: Vec<_> = known.iter().map(|name| json!({ "host": name, "range": "127.0.0.1/32" })).collect();
    json!({ "rules": allow.chain(deny).collect::<Vec<_>>(), "hosts": hosts, "private": private })
}

fn start(upstream: &Upstream, seconds: u64) -> Guard {
    Guard::start_controlled(&json!({ "policy": policy(upstream, &[], &[]), "ask_seconds": seconds }))
}

/// Asks for a tunnel, and does not wait for the answer.
fn ask(guard: &Guard, place: &str) -> TcpStream {
    let mut stream = connect(guard.address());
    write!(stream, "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_host_that_is_allowed_while_it_waits_is_reached_by_the_same_request() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, 600);
    let place = format!("ok.test:{}", upstream.port);
    let mut waiting = ask(&guard, &place);
    let question = guard.decision(&json!({ "event": "ask", "host": "ok.test" }));
    assert_eq!(
        (&question["port"], &question["code"]),
        (&json!(upstream.port), &json!("not_in_allowlist")),
        "{question}"
    );
    // A second one for the same place waits with it, and one for another place is another question.
    let mut second = ask(&guard, &place);
    let mut other = ask(&guard, &format!("other.test:{}", upstream.port));
    guard.decision(&json!({ "event": "ask", "host": "other.test" }));
    guard.change(&policy(&upstream, &["ok.test"], &[]));
    for stream in [&mut waiting, &mut second] {
        assert_eq!(read_answer(stream).status, 200);
        stream.write_all(b"hello").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
    }
    assert_eq!(guard.decision(&json!({ "event": "answer", "host": "ok.test" }))["verdict"], "allow");
    assert_eq!(guard.decision(&json!({ "event": "request", "host": "ok.test" }))["verdict"], "allow");
    // The other one still waits, and is refused on purpose.
    guard.change(&policy(&upstream, &["ok.test"], &["other.test"]));
    assert_eq!(read_answer(&mut other).code(), "denied_by_rule");
    let answer = guard.decision(&json!({ "event": "answer", "host": "other.test" }));
    assert_eq!((&answer["verdict"], &answer["code"]), (&json!("deny"), &json!("denied_by_rule")));
    let questions = guard.log().iter().filter(|line| line["event"] == "ask").count();
    assert_eq!(questions, 2, "{:#?}", guard.log());
}

#[test]
fn without_an_answer_it_is_refused_when_the_time_is_over() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, 1);
    let place = format!("ok.test:{}", upstream.port);
    assert_eq!(send(guard.address(), &get(&place, "/")).code(), "not_in_allowlist");
    let line = guard.decision(&json!({ "event": "request", "host": "ok.test" }));
    assert_eq!(line["reason"], "`ok.test` is not on the allowlist: no answer came within 1 s");
    guard.decision(&json!({ "event": "answer", "verdict": "deny" }));
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn what_no_answer_could_allow_is_refused_at_once() {
    let upstream = Upstream::echo();
    let config = json!({ "policy": policy(&upstream, &[], &["ok.test"]), "ask_seconds": 600 });
    let guard = Guard::start_controlled(&config);
    for (place, code) in
        [(format!("ok.test:{}", upstream.port), "denied_by_rule"), ("a_b..test:1".to_owned(), "bad_host")]
    {
        assert_eq!(send(guard.address(), &get(&place, "/")).code(), code);
    }
    assert!(!guard.log().iter().any(|line| line["event"] == "ask"), "{:#?}", guard.log());
}

#[test]
fn more_than_a_person_reads_are_refused_at_once() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, 600);
    let waiting: Vec<_> = (0..32).map(|n| ask(&guard, &format!("h{n}.test:443"))).collect();
    for n in 0..32 {
        guard.decision(&json!({ "event": "ask", "host": format!("h{n}.test") }));
    }
    let answer = send(guard.address(), b"CONNECT more.test:443 HTTP/1.1\r\nHost: more.test:443\r\n\r\n");
    assert_eq!(answer.code(), "not_in_allowlist");
    drop(waiting);
}

#[test]
fn a_name_that_may_be_allowed_has_an_address_to_wait_at() {
    let upstream = Upstream::echo();
    let config = json!({ "policy": policy(&upstream, &[], &["other.test"]), "ask_seconds": 600 });
    let guard = Guard::start_controlled(&config);
    let resolve = |name: &str| send(guard.address(), format!("RESOLVE {name} HTTP/1.1\r\n\r\n").as_bytes());
    let answer = resolve("new.test");
    assert_eq!((answer.status, answer.header("X-Egress-Ports")), (200, Some("80 443")));
    assert_eq!(resolve("other.test").code(), "denied_by_rule");
}
