//! Answers in which a secret comes back: masked at its length, or broken off.

use std::io::{Read, Write};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::json;

use crate::support::held::{HOLDER, VALUE, World};
use crate::support::inside::{Inside, read_to_end};

/// Returns an answer with a body.
fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Returns what a request showed as its credential.
fn shown(request: &str) -> &str {
    request.split("authorization: Bearer ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

fn bearer() -> String {
    format!("Authorization: Bearer {HOLDER}\r\n")
}

fn stars() -> String {
    "*".repeat(VALUE.len())
}

#[test]
fn an_echo_in_a_body_or_header_comes_back_masked() {
    let world = World::answering(|request| {
        let value = shown(request);
        let (encoded, twice) = (STANDARD.encode(format!("user:{value}")), STANDARD.encode(value));
        let json = json!({ "authorization": format!("Bearer {value}"), "basic": encoded }).to_string();
        let headers =
            format!("X-Echo: Bearer {value}; {value}\r\nX-Packed: {twice}\r\nLocation: /x?token={value}\r\n");
        vec![answer(&headers, json.as_bytes())]
    });
    let answer = world.ask("own.test", "GET /", (&bearer(), ""));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-echo"), Some(format!("Bearer {HOLDER}; {HOLDER}").as_str()));
    assert_eq!(answer.header("location"), Some(format!("/x?token={HOLDER}").as_str()));
    let packed = answer.header("x-packed").unwrap();
    assert!(packed.starts_with(&"*".repeat(VALUE.len())), "{packed}");
    assert!(answer.body.contains(&format!("\"Bearer {}\"", stars())), "{}", answer.body);
    let encoded = STANDARD.encode(format!("user:{VALUE}"));
    assert!(!answer.body.contains(&encoded[8..]), "{}", answer.body);
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    world.is_silent();
}

#[test]
fn an_error_page_and_another_kept_request_are_masked_too() {
    let world = World::answering(|_| {
        vec![format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{VALUE}", VALUE.len()).into_bytes()]
    });
    let answer = world.ask("own.test", "GET /", ("", ""));
    assert_eq!((answer.status, answer.body), (403, stars()));
    // A host that no secret goes to is not looked at: it cannot have one.
    assert_eq!(world.ask("else.test", "GET /", ("", "")).body, VALUE);
}

#[test]
fn a_value_in_two_chunks_is_masked_and_bodies_stay_whole() {
    let world = World::answering(|request| {
        let value = shown(request);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
        let (first, second) = value.split_at(value.len() / 2);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        vec![head, chunk("<"), chunk(first), chunk(second), chunk(">"), chunk(first), b"0\r\n\r\n".to_vec()]
    });
    let mut inside = world.inside("own.test");
    let headers = format!("{}Connection: close\r\n", bearer());
    inside.write_all(world.request("own.test", "GET /", (&headers, "")).as_bytes()).unwrap();
    let (bytes, ended) = read_to_end(&mut inside);
    let text = String::from_utf8(bytes).unwrap();
    let body: String = text.split("\r\n\r\n").nth(1).unwrap().split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(body, format!("<{}>{}", stars(), &VALUE[..VALUE.len() / 2]));
    assert!(ended && text.ends_with("0\r\n\r\n"));
}

/// Reads until what came ends like this.
fn read_until(inside: &mut Inside, end: &str) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while !bytes.ends_with(end.as_bytes()) {
        let count = inside.read(&mut piece).unwrap();
        assert!(count > 0, "ended in {}", bytes.escape_ascii());
        bytes.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn events_of_a_stream_arrive_as_they_are_written() {
    let (tell, next) = mpsc::channel();
    let event = |text: String| format!("{:x}\r\ndata: {text}\n\n\r\n", text.len() + 8).into_bytes();
    let world = World::with(
        move |_| {
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            let echo = event(format!("{{\"echo\": \"{VALUE}\"}}"));
            // The last has the first letters of the value at its end, which a client may be waiting for.
            let open = b"4\r\nok s\r\n".to_vec();
            vec![
                [&head[..], &event("one".to_owned())].concat(),
                event("two".to_owned()),
                echo,
                open,
                b"0\r\n\r\n".to_vec(),
            ]
        },
        Some(next),
        |_| (),
    );
    let mut inside = world.inside("own.test");
    inside.write_all(world.request("own.test", "GET /", (&bearer(), "")).as_bytes()).unwrap();
    // Each is there before the next is written.
    assert!(read_until(&mut inside, "data: one\n\n\r\n").contains("text/event-stream"));
    tell.send(()).unwrap();
    read_until(&mut inside, "data: two\n\n\r\n");
    tell.send(()).unwrap();
    assert!(read_until(&mut inside, "\"}\n\n\r\n").contains(&stars()));
    tell.send(()).unwrap();
    let rest = read_until(&mut inside, "s\r\n");
    assert!(rest.contains("ok "), "{rest}");
    tell.send(()).unwrap();
    assert_eq!(read_until(&mut inside, "0\r\n\r\n"), "0\r\n\r\n");
}

#[test]
fn a_packed_answer_passes_as_it_came_and_is_broken_off_where_it_has_the_value() {
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = |text: &str| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let page = format!("{}{VALUE}", "an ordinary line of a page\n".repeat(3_000));
    let clean = page.replace(VALUE, "nothing");
    for (coding, with, without) in
        [("gzip", gzip(&page), gzip(&clean)), ("deflate", deflate(&page), deflate(&clean))]
    {
        let expected = without.clone();
        let headers = format!("Content-Encoding: {coding}\r\n");
        let world = World::answering(move |request| {
            let body = if request.starts_with("GET /clean") { &without } else { &with };
            vec![answer(&headers, body)]
        });
        let mut inside = world.inside("own.test");
        let request = world.request("own.test", "GET /clean", ("Connection: close\r\n", ""));
        inside.write_all(request.as_bytes()).unwrap();
        let (bytes, _) = read_to_end(&mut inside);
        assert!(bytes.ends_with(&expected), "{coding}: bytes are never packed again");
        let mut inside = world.inside("own.test");
        inside.write_all(world.request("own.test", "GET /echo", (&bearer(), "")).as_bytes()).unwrap();
        let (_, ended) = read_to_end(&mut inside);
        assert!(!ended, "{coding}: what is broken off does not end as if it were whole");
        world.guard.decision(&json!({ "code": "secret_reflected", "verdict": "error", "path": "/echo" }));
        world.is_silent();
    }
}

#[test]
fn only_codings_that_can_be_looked_into_are_asked_for_and_taken() {
    let world = World::answering(|request| {
        let coding = if request.contains("/br") { "Content-Encoding: br\r\n" } else { "" };
        vec![answer(coding, b"ok")]
    });
    for (host, sent, expected) in [
        ("own.test", "gzip, deflate, br, zstd", "gzip, deflate"),
        ("own.test", "br;q=1.0, *", "identity"),
        ("else.test", "gzip, br", "gzip, br"),
    ] {
        let headers = format!("Accept-Encoding: {sent}\r\n");
        assert_eq!(world.ask(host, "GET /", (&headers, "")).status, 200);
        assert!(world.upstream.received().contains(&format!("accept-encoding: {expected}\r\n")), "{sent}");
    }
    world.ask("own.test", "GET /none", ("", ""));
    assert!(!world.upstream.received().split("/none").nth(1).unwrap().contains("accept-encoding"));
    let answer = world.ask("own.test", "GET /br", ("", ""));
    assert_eq!((answer.status, answer.code()), (502, "secret_reflected"));
    assert_eq!(world.ask("else.test", "GET /br", ("", "")).status, 200);
}

#[test]
fn an_answer_of_401_is_told_with_the_name_of_the_secret() {
    let world =
        World::answering(|_| vec![b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec()]);
    assert_eq!(world.ask("own.test", "GET /", (&bearer(), "")).status, 401);
    world.guard.decision(&json!({ "reason": "answered 401 to `TOKEN`", "secrets": ["TOKEN"] }));
    assert_eq!(world.ask("own.test", "GET /", ("", "")).status, 401);
    world.guard.decision(&json!({ "reason": "answered 401" }));
}

#[test]
fn a_long_answer_passes_byte_for_byte() {
    let page: Vec<u8> =
        (0..3_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let expected = page.clone();
    let world = World::answering(move |_| vec![answer("", &page)]);
    let mut inside = world.inside("own.test");
    let request = world.request("own.test", "GET /", ("Connection: close\r\n", ""));
    inside.write_all(request.as_bytes()).unwrap();
    let (bytes, ended) = read_to_end(&mut inside);
    assert!(ended && bytes.ends_with(&expected), "{} bytes", bytes.len());
}
