//! What the agent asks of the guard for itself, by the command `bottle`: it learns the policy, asks, and gives back; and can do nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Guard, Upstream, connect, get, open_tunnel, read_answer, send};

const SECRET: &str = "s3cr3tValue0123456789xyz";
const GIVEN: &str = "claude-bottle policy, while it runs";

/// A policy with these rules, each with where it comes from; the names lead to the upstream.
fn policy(rules: &[(&str, &str)]) -> Value {
    let rules: Vec<_> =
        rules.iter().map(|(rule, origin)| json!({ "rule": rule, "origin": origin })).collect();
    json!({
        "rules": rules,
        "hosts": { "ok.test": ["127.0.0.1"] },
        "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
    })
}

fn start(rules: &[(&str, &str)], ask_seconds: u64) -> Guard {
    Guard::start_controlled(&json!({ "policy": policy(rules), "ask_seconds": ask_seconds }))
}

/// Asks for a place, and does not wait for the answer.
fn ask(guard: &Guard, place: &str, why: &str) -> TcpStream {
    let mut stream = connect(guard.address());
    write!(stream, "ASK {place} HTTP/1.1\r\nX-Bottle-Why: {why}\r\n\r\n").unwrap();
    stream
}

/// Reads an answer of status 200 as JSON.
fn said(stream: &mut impl Read) -> Value {
    let answer = read_answer(stream);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

fn told(guard: &Guard, request: &str) -> Value {
    let answer = send(guard.address(), format!("{request} HTTP/1.1\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn an_agent_is_told_its_rules_and_no_place_of_the_host() {
    let rules = [
        ("a.test", "bottle dev, /home/user/claude-bottle.yaml:3"),
        ("b.test:22", GIVEN),
        ("deny c.test", "x"),
    ];
    let guard = start(&rules, 60);
    let reach = told(&guard, "POLICY *");
    assert_eq!(
        reach,
        json!({ "ask_seconds": 60, "rules": [
            { "rule": "a.test", "given": false },
            { "rule": "b.test:22", "given": true },
            { "rule": "deny c.test", "given": false },
        ] })
    );
}

#[test]
fn a_host_that_is_asked_for_is_told_with_its_text_and_answered_by_another_policy() {
    let guard = start(&[], 600);
    let mut first = ask(&guard, "ok.test", "to fetch\tthe \u{202e}Größe");
    let question = guard.decision(&json!({ "event": "ask", "host": "ok.test" }));
    assert_eq!(
        (&question["port"], &question["method"], &question["code"], &question["why"]),
        (&json!(443), &json!("ASK"), &json!("not_in_allowlist"), &json!(r"to fetch the \u{202e}Größe"))
    );
    // Another one for the same place is told as well, and answered with it.
    let mut second = ask(&guard, "ok.test:443", "and again");
    guard.decision(&json!({ "event": "ask", "why": "and again" }));
    let mut other = ask(&guard, "other.test:22", "ssh");
    guard.decision(&json!({ "event": "ask", "host": "other.test", "port": 22 }));
    guard.change(&policy(&[("ok.test", GIVEN)]));
    for stream in [&mut first, &mut second] {
        assert_eq!(said(stream)["answer"], "allowed");
    }
    guard.change(&policy(&[("ok.test", GIVEN), ("deny other.test", GIVEN)]));
    let refused = said(&mut other);
    assert_eq!((&refused["answer"], &refused["rule"]), (&json!("refused"), &json!("deny other.test")));
    // Nothing waits for what has an answer already.
    assert_eq!(said(&mut ask(&guard, "ok.test", "x"))["answer"], "allowed");
    assert_eq!(said(&mut ask(&guard, "other.test:22", "x"))["answer"], "refused");
    assert_eq!(guard.log().iter().filter(|line| line["event"] == "ask").count(), 3);
}

#[test]
fn without_an_answer_the_agent_hears_that_none_came_and_where_nothing_is_asked_that() {
    let guard = start(&[], 1);
    let unanswered = said(&mut ask(&guard, "ok.test", "x"));
    assert_eq!(unanswered["answer"], "unanswered");
    assert_eq!(unanswered["reason"], "`ok.test` is not on the allowlist: no answer came within 1 s");
    let off = start(&[], 0);
    assert_eq!(said(&mut ask(&off, "ok.test", "x"))["answer"], "off");
    let line = off.decision(&json!({ "event": "request", "host": "ok.test", "verdict": "deny" }));
    assert_eq!((&line["method"], &line["why"]), (&json!("ASK"), &json!("x")));
    assert!(!off.log().iter().any(|line| line["event"] == "ask"), "{:#?}", off.log());
}

#[test]
fn text_of_the_agents_is_cut_looked_at_and_never_a_second_line() {
    let config = json!({
        "policy": policy(&[]), "ask_seconds": 1,
        "dlp": { "secrets_env": "BOTTLE_SECRETS" },
    });
    let secrets = json!([{ "name": "TOKEN", "value": SECRET }]).to_string();
    let guard = Guard::start_controlled_with(&config, &[("BOTTLE_SECRETS", &secrets)]);
    let long = "ä".repeat(5_000);
    said(&mut ask(&guard, "ok.test", &long));
    let why = guard.decision(&json!({ "event": "ask" }))["why"].as_str().unwrap().to_owned();
    assert_eq!((why.chars().count(), why.ends_with('…')), (201, true), "{why}");
    for (place, why, code) in [
        ("ok.test", format!("it needs {SECRET}"), "dlp_secret"),
        ("ok.test", " ".to_owned(), "bad_request"),
        ("ok.test", "a\u{1b}[2Jb".to_owned(), "bad_request"),
        (&format!("{SECRET}.test"), "x".to_owned(), "dlp_secret"),
        ("a_b..test", "x".to_owned(), "bad_host"),
    ] {
        assert_eq!(read_answer(&mut ask(&guard, place, &why)).code(), code, "{place} {why:?}");
    }
    let log = guard.log();
    assert!(log.iter().all(|line| !line.to_string().contains(SECRET)), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line["event"] == "ask").count(), 1);
}

#[test]
fn more_than_a_person_reads_is_not_asked() {
    let guard = start(&[], 600);
    let waiting: Vec<_> = (0..32).map(|n| ask(&guard, &format!("h{n}.test"), "x")).collect();
    for n in 0..32 {
        guard.decision(&json!({ "event": "ask", "host": format!("h{n}.test") }));
    }
    assert_eq!(said(&mut ask(&guard, "more.test", "x"))["answer"], "unanswered");
    drop(waiting);
}

#[test]
fn what_was_given_is_given_back_with_what_is_open_and_nothing_of_the_manifest() {
    let upstream = Upstream::echo();
    let place = format!("ok.test:{}", upstream.port);
    let manifest = format!("manifest.test:{}", upstream.port);
    let guard = start(&[(&place, GIVEN), (&manifest, "claude-bottle.yaml:3")], 0);
    let mut tunnel = open_tunnel(guard.address(), &place);
    tunnel.write_all(b"hello").unwrap();
    tunnel.read_exact(&mut [0; 5]).unwrap();
    let nothing = told(&guard, &format!("GIVEBACK {manifest}"));
    assert_eq!(nothing["given_back"], json!([]));
    assert_eq!(told(&guard, "GIVEBACK ok.test")["given_back"], json!([place]));
    assert_eq!(tunnel.read(&mut [0; 5]).unwrap_or(0), 0, "the tunnel goes on");
    let line = guard.decision(&json!({ "event": "policy", "method": "GIVEBACK" }));
    assert_eq!(
        (&line["host"], &line["reason"]),
        (&json!("ok.test"), &json!(format!("the agent gave back `{place}`")))
    );
    assert_eq!(send(guard.address(), &get(&place, "/")).code(), "not_in_allowlist");
    assert_eq!(told(&guard, "POLICY *")["rules"].as_array().unwrap().len(), 1);
    // The user may give it again.
    guard.change(&policy(&[(&place, GIVEN)]));
    assert_eq!(open_tunnel(guard.address(), &place).write(b"x").unwrap(), 1);
}

#[test]
fn words_of_the_agents_are_ordinary_requests_where_they_are_for_a_server() {
    let upstream = Upstream::ok();
    let place = format!("ok.test:{}", upstream.port);
    let guard = start(&[(&place, GIVEN)], 600);
    for method in ["POLICY", "ASK", "GIVEBACK"] {
        let request = format!(
            "{method} http://{place}/x HTTP/1.1\r\nHost: {place}\r\nX-Bottle-Why: x\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(send(guard.address(), request.as_bytes()).status, 200, "{method}");
    }
    assert!(upstream.received().contains("ASK /x HTTP/1.1"));
    assert_eq!(told(&guard, "POLICY *")["rules"][0]["rule"], json!(place));
}
