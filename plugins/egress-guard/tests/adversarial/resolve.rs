//! Names that lead where nobody may go, and answers that change.

use serde_json::{Value, json};

use crate::support::{Dns, Guard, Upstream, get, send};

/// Addresses that are nobody's on the public network, in each notation.
pub(crate) const SPECIAL: [&str; 36] = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

#[test]
fn special_addresses_are_never_dialled() {
    let addresses = SPECIAL;
    let names: Vec<String> = (0..addresses.len()).map(|index| format!("n{index}.test")).collect();
    let lists: Vec<[&str; 1]> = addresses.iter().map(|address| [*address]).collect();
    let slices: Vec<[&[&str]; 1]> = lists.iter().map(|list| [&list[..]]).collect();
    let zone: Vec<(&str, &[&[&str]])> =
        names.iter().zip(&slices).map(|(name, list)| (name.as_str(), &list[..])).collect();
    let dns = Dns::start(&zone);
    let rules: Vec<Value> = names.iter().map(|name| json!({ "rule": name })).collect();
    let guard = Guard::start(&json!({ "resolver": dns.address.to_string(), "policy": { "rules": rules } }));
    for (name, address) in names.iter().zip(addresses) {
        let answer = send(guard.address(), format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n").as_bytes());
        assert_eq!((answer.status, answer.code()), (403, "private_address"), "{address}");
        assert!(
            !answer.body.contains(address) || address == "::",
            "the answer tells {address}: {}",
            answer.body
        );
        let line = guard.decision(&json!({ "host": name, "code": "private_address" }));
        assert!(line["reason"].as_str().unwrap().ends_with(address), "{line}");
    }
}

#[test]
fn mixed_answers_are_refused_whole() {
    let dns = Dns::start(&[
        ("a.test", &[&["93.184.216.34", "10.0.0.1"]]),
        ("b.test", &[&["10.0.0.1", "93.184.216.34"]]),
        ("c.test", &[&["93.184.216.34", "fd00::1"]]),
        ("d.test", &[&["127.0.0.1", "10.0.0.1"]]),
    ]);
    let guard = Guard::start(&json!({
        "resolver": dns.address.to_string(),
        "policy": {
            "rules": [{ "rule": "a.test" }, { "rule": "b.test" }, { "rule": "c.test" }, { "rule": "d.test" }],
            "private": [{ "host": "d.test", "range": "127.0.0.0/8" }],
        },
    }));
    for name in ["a.test", "b.test", "c.test", "d.test"] {
        let answer = send(guard.address(), format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n").as_bytes());
        assert_eq!((answer.status, answer.code()), (403, "mixed_addresses"), "{name}");
    }
}

#[test]
fn what_was_vetted_is_what_is_dialled() {
    let upstream = Upstream::ok();
    // The second answer is another address; a guard that looks up again before dialling would go there.
    let dns = Dns::start(&[("turn.test", &[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1"]])]);
    let guard = Guard::start(&json!({
        "resolver": dns.address.to_string(),
        "policy": {
            "rules": [{ "rule": format!("turn.test:{}", upstream.port) }],
            "private": [{ "host": "turn.test", "range": "127.0.0.1/32" }],
        },
    }));
    let authority = format!("turn.test:{}", upstream.port);
    let codes: Vec<u16> = (0..3).map(|_| send(guard.address(), &get(&authority, "/")).status).collect();
    assert_eq!(codes, [200, 403, 200]);
    let questions = dns.questions();
    assert_eq!(questions.iter().filter(|question| *question == "turn.test A").count(), 3, "{questions:?}");
    assert_eq!(questions.len(), 6, "one question of each kind a request: {questions:?}");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn failures_of_the_lookup_are_told_apart_and_never_open_anything() {
    let dns = Dns::start(&[("broken.test", &[&[]])]);
    let rules = json!([{ "rule": "missing.test" }, { "rule": "broken.test" }, { "rule": "silent.test" }]);
    let guard = Guard::start(&json!({ "resolver": dns.address.to_string(), "policy": { "rules": rules } }));
    let code = |guard: &Guard, host: &str| {
        let answer = send(guard.address(), format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n").as_bytes());
        assert_eq!(answer.status, 502);
        answer.code().to_owned()
    };
    assert_eq!(code(&guard, "missing.test"), "no_such_host");
    assert_eq!(code(&guard, "broken.test"), "resolve_failed");
    // A bound socket that nobody reads stands for a name server that never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let guard = Guard::start(&json!({
        "resolver": silent.local_addr().unwrap().to_string(),
        "limits": { "resolve_timeout_seconds": 1 },
        "policy": { "rules": rules },
    }));
    assert_eq!(code(&guard, "silent.test"), "resolve_failed");
}

#[test]
fn a_wildcard_does_not_reach_its_apex_and_refused_names_are_not_looked_up() {
    let upstream = Upstream::ok();
    let dns = Dns::start(&[("a.wild.test", &[&["127.0.0.1"]]), ("wild.test", &[&["127.0.0.1"]])]);
    let guard = Guard::start(&json!({
        "resolver": dns.address.to_string(),
        "policy": {
            "rules": [{ "rule": format!("*.wild.test:{}", upstream.port) }, { "rule": "deny secret.wild.test" }],
            "private": [{ "host": "a.wild.test", "range": "127.0.0.1/32" }],
        },
    }));
    let ask = |host: &str| send(guard.address(), &get(&format!("{host}:{}", upstream.port), "/")).status;
    for host in [
        "wild.test",
        "secret.wild.test",
        "exfiltrated-data.other.test",
        "evilwild.test",
        "wild.test.evil.test",
    ] {
        assert_eq!(ask(host), 403, "{host}");
    }
    assert!(dns.questions().is_empty(), "{:?}", dns.questions());
    assert_eq!(ask("a.wild.test"), 200);
}
