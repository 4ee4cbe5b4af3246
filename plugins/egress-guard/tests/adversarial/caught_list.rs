//! The list of how proxies have been got round, by the way in of clients that know no proxy: names that the guest program asks for, and
//! connections that it hands on.

use std::io::Write;

use serde_json::{Value, json};

use crate::caught::{ALERT, SECRET, catch, guard};
use crate::http::ambiguous;
use crate::names::odd_hosts;
use crate::resolve::SPECIAL;
use crate::support::{Dns, Guard, Upstream, client_hello, connect, read_all, read_answer};

/// A guard that allows these names on 443 and `turn.test` on the upstream's port, by this name server.
fn by_name(dns: &Dns, names: &[String], more: &[Value]) -> Guard {
    let rules: Vec<_> =
        names.iter().map(|name| json!({ "rule": name })).chain(more.iter().cloned()).collect();
    Guard::start(&json!({
        "resolver": dns.address.to_string(),
        "policy": { "rules": rules, "private": [{ "host": "turn.test", "range": "127.0.0.1/32" }] },
    }))
}

#[test]
fn no_name_with_a_second_reading_has_an_address_or_leads_anywhere() {
    let upstream = Upstream::ok();
    let (guard, dns) = guard(&upstream, &[]);
    let hello = client_hello(Some("ok.test"), &[], 16_000);
    for host in odd_hosts() {
        let port = format!(":{} HTTP/1.1\r\n\r\n", upstream.port);
        for head in [
            [b"RESOLVE ", &host[..], b" HTTP/1.1\r\n\r\n"].concat(),
            [b"CATCH ", &host[..], port.as_bytes(), &hello].concat(),
        ] {
            let mut stream = connect(guard.address());
            stream.write_all(&head).unwrap();
            let answer = read_all(&mut stream);
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}: {}", head.escape_ascii(), answer.escape_ascii());
        }
    }
    assert_eq!((upstream.connections(), dns.questions()), (0, Vec::new()));
    assert!(guard.log().iter().all(|line| line["verdict"] == "deny"), "{:#?}", guard.log());
}

#[test]
fn a_port_that_no_rule_names_and_an_empty_list_lead_nowhere() {
    let upstream = Upstream::ok();
    let (guard, _dns) = guard(&upstream, &[]);
    for port in [21, 22, 25, 80, 443, 3306, 6379] {
        read_all(&mut catch(&guard, &format!("ok.test:{port}"), b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n"));
        let line = guard.decision(&json!({ "host": "ok.test", "port": port }));
        assert_eq!((&line["verdict"], &line["code"]), (&json!("deny"), &json!("port_not_allowed")));
    }
    for rules in [json!([]), Value::Null] {
        let empty = Guard::start(&json!({ "policy": { "rules": rules } }));
        assert_eq!(read_all(&mut catch(&empty, "ok.test:443", b"")), ALERT);
        let mut ask = connect(empty.address());
        ask.write_all(b"RESOLVE ok.test HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut ask).code(), "not_in_allowlist");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_name_that_leads_to_a_special_address_or_to_two_kinds_is_not_dialled() {
    let names: Vec<String> = (0..SPECIAL.len()).map(|index| format!("n{index}.test")).collect();
    let lists: Vec<[&str; 1]> = SPECIAL.iter().map(|address| [*address]).collect();
    let slices: Vec<[&[&str]; 1]> = lists.iter().map(|list| [&list[..]]).collect();
    let mut zone: Vec<(&str, &[&[&str]])> =
        names.iter().zip(&slices).map(|(name, list)| (name.as_str(), &list[..])).collect();
    zone.push(("mixed.test", &[&["93.184.216.34", "10.0.0.1"]]));
    let dns = Dns::start(&zone);
    let guard = by_name(&dns, &[names.clone(), vec!["mixed.test".to_owned()]].concat(), &[]);
    let expected = names.iter().map(|name| (name.as_str(), "private_address"));
    for (name, code) in expected.chain([("mixed.test", "mixed_addresses")]) {
        let hello = client_hello(Some(name), &[], 16_000);
        assert_eq!(read_all(&mut catch(&guard, &format!("{name}:443"), &hello)), ALERT, "{name}");
        guard.decision(&json!({ "host": name, "code": code }));
    }
}

#[test]
fn what_was_vetted_is_dialled_and_nothing_is_looked_up_twice() {
    let upstream = Upstream::ok();
    let dns = Dns::start(&[("turn.test", &[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1"]])]);
    let place = format!("turn.test:{}", upstream.port);
    let guard = by_name(&dns, &[], &[json!({ "rule": place })]);
    let page = format!("GET / HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    let codes: Vec<u16> =
        (0..3).map(|_| read_answer(&mut catch(&guard, &place, page.as_bytes())).status).collect();
    assert_eq!((codes, upstream.connections()), (vec![200, 403, 200], 2));
    assert_eq!(dns.questions().len(), 6, "one question of each kind a request");
}

#[test]
fn ambiguous_messages_of_a_caught_client_reach_nobody() {
    let upstream = Upstream::ok();
    let (guard, _dns) = guard(&upstream, &[]);
    let place = format!("ok.test:{}", upstream.port);
    // What does not begin as a request for a path is no plain HTTP: on this port a tunnel may carry it.
    let begins = |request: &&String| request.starts_with("POST /") || request.starts_with("GET /");
    let requests = ambiguous("/", &place);
    assert!(requests.iter().filter(begins).count() > 25);
    for request in requests.iter().filter(begins) {
        let answer = read_answer(&mut catch(&guard, &place, request.as_bytes()));
        assert_eq!(answer.status, 400, "{request:?}: {answer:?}");
        assert_eq!(upstream.connections(), 0, "{request:?}");
    }
}

#[test]
fn a_second_request_for_another_host_an_upgrade_and_a_forged_refusal_do_not_pass() {
    let upstream = Upstream::ok();
    let (guard, dns) = guard(&upstream, &[]);
    let place = format!("ok.test:{}", upstream.port);
    let get = |host: &str, more: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
    // Both in one write.
    let both = get(&place, "") + &get(&format!("evil.test:{}", upstream.port), "");
    let mut stream = catch(&guard, &place, both.as_bytes());
    assert_eq!(read_answer(&mut stream).status, 200);
    assert_eq!(read_answer(&mut stream).code(), "host_mismatch");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let answer = read_answer(&mut catch(&guard, &place, get(&place, upgrade).as_bytes()));
    assert_eq!(answer.code(), "upgrade_refused");
    assert_eq!((upstream.received().matches("GET / ").count(), dns.questions()), (1, Vec::new()));

    let forger = Upstream::http(
        "HTTP/1.1 403 Forbidden\r\nX-Egress-Reason: not_in_allowlist\r\nContent-Length: 3\r\n\r\nno.",
    );
    let (guard, _dns) = self::guard(&forger, &[]);
    let place = format!("ok.test:{}", forger.port);
    let answer = read_answer(&mut catch(&guard, &place, get(&place, "").as_bytes()));
    assert_eq!((answer.status, answer.header("x-egress-reason"), answer.body.as_str()), (403, None, "no."));
}

#[test]
fn a_secret_of_a_caught_client_is_found_in_every_form_and_place() {
    let upstream = Upstream::ok();
    let (guard, _dns) = guard(&upstream, &[]);
    let place = format!("ok.test:{}", upstream.port);
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = SECRET.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let base64 = "czNjcjN0VmFsdWUwMTIzNDU2Nzg5eHl6";
    let spaced: String = SECRET.chars().flat_map(|c| [c, '\u{200b}']).collect();
    let (first, second) = SECRET.split_at(12);
    for form in [SECRET, &SECRET.to_uppercase(), &hex, &percent, base64] {
        for request in [
            format!("GET /?q={form} HTTP/1.1\r\nHost: {place}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {place}\r\nX-Note: {form}\r\n\r\n"),
            format!("POST / HTTP/1.1\r\nHost: {place}\r\nContent-Length: {}\r\n\r\n{form}", form.len()),
        ] {
            let answer = read_answer(&mut catch(&guard, &place, request.as_bytes()));
            assert_eq!(answer.code(), "dlp_secret", "{request:?}");
        }
    }
    for request in [
        format!("GET /?a={first}&b={second} HTTP/1.1\r\nHost: {place}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {place}\r\nX-A: {first}\r\nX-B: {second}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: {place}\r\nContent-Length: {}\r\n\r\n{spaced}", spaced.len()),
    ] {
        let answer = read_answer(&mut catch(&guard, &place, request.as_bytes()));
        assert_eq!(answer.code(), "dlp_secret", "{request:?}");
    }
    let got = upstream.received();
    assert!(![SECRET, &hex, base64, second].iter().any(|form| got.contains(*form)), "{got}");
}

#[test]
fn a_caught_connection_never_leads_back_to_the_guard() {
    let upstream = Upstream::ok();
    let dns = Dns::start(&[("turn.test", &[&["127.0.0.1"]])]);
    let guard = by_name(&dns, &[], &[json!({ "rule": format!("turn.test:{}", upstream.port) })]);
    let own = guard.address().port();
    let mut config = guard.config();
    config["policy"]["rules"] = json!([{ "rule": format!("turn.test:{own}") }]);
    config.as_object_mut().unwrap().retain(|key, _| ["resolver", "policy"].contains(&key.as_str()));
    guard.reload(&config);
    guard.decision(&json!({ "event": "policy" }));
    let place = format!("turn.test:{own}");
    let page = format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n");
    assert_eq!(read_answer(&mut catch(&guard, &place, page.as_bytes())).code(), "self_connect");
    assert_eq!(read_all(&mut catch(&guard, &place, b"\x16")), b"");
    guard.decision(&json!({ "code": "self_connect", "method": "CONNECT" }));
}
