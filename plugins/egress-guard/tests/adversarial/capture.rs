//! What the log shows of requests and answers where it is asked for: how they were spoken, and nothing that is a secret.

use serde_json::{Value, json};

use crate::support::held::{HOLDER, VALUE, World};
use crate::support::{Guard, Upstream, get, send};

/// Waits for the line of a request.
fn line(world: &World, path: &str) -> Value {
    world.guard.decision(&json!({ "path": path, "event": "request" }))
}

fn capturing(answer: impl Fn(&str) -> Vec<Vec<u8>> + Send + Sync + 'static) -> World {
    World::with(answer, None, |config| config["log"] = json!({ "exchanges": true }))
}

fn value<'l>(line: &'l Value, side: &str, name: &str) -> Option<&'l str> {
    let headers = line["exchange"][side].as_array()?;
    headers.iter().find(|header| header[0] == name).and_then(|header| header[1].as_str())
}

#[test]
fn names_are_shown_and_of_values_those_that_say_how_it_was_spoken() {
    let echo = |request: &str| {
        let sent = request.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none");
        let body = format!("{sent}, {sent}");
        let head = format!(
            "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nX-Echo: {sent}\r\nSet-Cookie: id=canary-cookie\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        vec![head.into_bytes(), body.into_bytes()]
    };
    let world = capturing(echo);
    let headers = format!(
        "Authorization: Bearer {HOLDER}\r\nCookie: id=canary-cookie\r\nAccept: */*\r\nX-Mine: canary-mine\r\n"
    );
    let answer = world.ask("own.test", "GET /a/b?q=canary-query", (&headers, ""));
    assert_eq!(answer.status, 201);
    let line = line(&world, "/a/b");
    assert_eq!((&line["status"], &line["exchange"]["protocol"]), (&json!(201), &json!("HTTP/1.1")));
    assert_eq!(line["exchange"]["https"], true);
    for (side, name, expected) in [
        ("request", "accept", Some("*/*")),
        ("request", "authorization", Some("***")),
        ("request", "cookie", Some("***")),
        ("request", "x-mine", Some("***")),
        ("response", "content-type", Some("text/plain")),
        ("response", "x-echo", Some("***")),
        ("response", "set-cookie", Some("***")),
        ("response", "x-other", None),
    ] {
        assert_eq!(value(&line, side, name), expected, "{side} {name}: {line}");
    }
    let log = format!("{:?}", world.guard.log());
    assert!(!log.contains("canary") && !log.contains(HOLDER) && !log.contains(VALUE), "{log}");
}

#[test]
fn of_a_request_in_which_something_was_found_no_header_is_shown() {
    let world = capturing(|_| vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()]);
    // Where a value would be shown, and as a header's name.
    for headers in
        [format!("Accept: {VALUE}\r\n"), format!("{VALUE}: x\r\n"), format!("Content-Type: a/{VALUE}\r\n")]
    {
        let answer = world.ask("else.test", "GET /found", (&headers, ""));
        assert_eq!((answer.status, answer.code()), (403, "dlp_secret"), "{headers}");
    }
    let line = world.guard.decision(&json!({ "code": "dlp_secret", "path": "/found" }));
    assert_eq!((&line["status"], &line["exchange"]["request"]), (&json!(403), &Value::Null));
    assert_eq!(value(&line, "response", "x-egress-reason"), Some("dlp_secret"));
    world.is_silent();
    assert!(!format!("{:?}", world.guard.log()).to_lowercase().contains(&VALUE.to_lowercase()));
}

#[test]
fn what_a_host_says_in_a_shown_header_is_looked_at_too() {
    // A host that the secret does not go to, so its answers are not masked.
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: x/{VALUE}\r\n{VALUE}: y\r\nContent-Length: 2\r\n\r\nok");
    let world = capturing(move |_| vec![head.clone().into_bytes()]);
    assert_eq!(world.ask("else.test", "GET /said", ("", "")).status, 200);
    let line = line(&world, "/said");
    assert_eq!(value(&line, "response", "content-type"), Some("***"));
    assert!(!line.to_string().to_lowercase().contains(&VALUE.to_lowercase()), "{line}");
}

#[test]
fn a_line_stays_short_however_many_headers_there_are() {
    let world = capturing(|_| vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()]);
    let long = "n".repeat(200);
    let many: String = (0..100).map(|number| format!("X-Header-With-A-Long-Name-{number}: v\r\n")).collect();
    let headers = format!("{long}: x\r\nAccept: {}\r\n{many}", "a".repeat(300));
    assert_eq!(world.ask("else.test", "GET /many", (&headers, "")).status, 200);
    let line = line(&world, "/many");
    let sent = line["exchange"]["request"].as_array().unwrap();
    assert!(sent.len() == 32 && line.to_string().len() < 8 * 1024, "{}", line.to_string().len());
    assert_eq!(value(&line, "request", &long), None);
    assert_eq!(value(&line, "request", "accept"), Some("***"));
}

#[test]
fn plain_requests_are_shown_with_their_path_and_others_without_being_asked_have_a_status_alone() {
    let upstream = Upstream::ok();
    let config = |exchanges: bool| {
        json!({
            "log": { "exchanges": exchanges },
            "policy": {
                "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
                "hosts": { "ok.test": ["127.0.0.1"] },
                "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
            },
        })
    };
    for exchanges in [true, false] {
        let guard = Guard::start(&config(exchanges));
        let answer = send(guard.address(), &get(&format!("ok.test:{}", upstream.port), "/p?q"));
        assert_eq!(answer.status, 200);
        let line = guard.decision(&json!({ "method": "GET" }));
        assert_eq!(line["status"], 200);
        let expected = if exchanges { json!("/p") } else { Value::Null };
        assert_eq!((&line["path"], line["exchange"].is_object()), (&expected, exchanges));
    }
}
