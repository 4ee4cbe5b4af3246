//! WebSockets in opened tunnels: decided, given their secret, and looked into frame by frame in both directions.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::certificates::Roots;
use crate::support::held::{HOLDER, HOSTS, VALUE, config, start};
use crate::support::inside::{Inside, handshake};
use crate::support::{Guard, Upstream, open_tunnel, read_answer};

const ASKS: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
const AGREES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const KEY: [u8; 4] = [1, 2, 3, 4];

struct World {
    upstream: Upstream,
    guard: Guard,
    ca: String,
}

impl World {
    /// A host that agrees and then sends frames back as its own, or sends these bytes at once.
    fn new(says: &'static [u8], change: impl FnOnce(&mut Value)) -> Self {
        let roots = Roots::new();
        let upstream = Upstream::websocket(roots.server_for(&HOSTS), says);
        let mut config = config(upstream.port, &roots.pem);
        change(&mut config);
        let guard = start(&config);
        let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
        Self { upstream, guard, ca }
    }

    fn ask(&self, headers: &str) -> (Inside, crate::support::Answer) {
        let authority = format!("own.test:{}", self.upstream.port);
        let tunnel = open_tunnel(self.guard.address(), &authority);
        let mut inside = handshake(tunnel, (&self.ca, "own.test"), &["http/1.1"]).unwrap();
        write!(inside, "GET /socket HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n").unwrap();
        let answer = read_answer(&mut inside);
        (inside, answer)
    }

    fn socket(&self) -> Inside {
        let (inside, answer) = self.ask(ASKS);
        assert_eq!(answer.status, 101, "{answer:?}");
        inside
    }
}

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => bytes.extend([&[0x80 | 126], &(length as u16).to_be_bytes()[..]].concat()),
        length => bytes.extend([&[0x80 | 127], &(length as u64).to_be_bytes()[..]].concat()),
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Reads a server's frame: its first byte and its payload.
fn read_frame(inside: &mut Inside) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    inside.read_exact(&mut head).unwrap();
    let length = match head[1] {
        126 => {
            let mut digits = [0; 2];
            inside.read_exact(&mut digits).unwrap();
            usize::from(u16::from_be_bytes(digits))
        }
        127 => {
            let mut digits = [0; 8];
            inside.read_exact(&mut digits).unwrap();
            u64::from_be_bytes(digits) as usize
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    inside.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

#[test]
fn a_websocket_is_asked_for_with_the_secret_and_without_extensions_and_carries_frames() {
    let world = World::new(b"", |_| ());
    let (mut inside, answer) = world.ask(&format!("Authorization: Bearer {HOLDER}\r\n{ASKS}"));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let received = world.upstream.received();
    assert!(received.contains(&format!("authorization: Bearer {VALUE}\r\n")), "{received}");
    assert!(
        received.contains("upgrade: websocket\r\n")
            && received.contains("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    );
    assert!(!received.contains("extensions") && !received.contains("permessage"), "{received}");
    // A placeholder in a frame is text, and a long one is not cut.
    let long = vec![b'x'; 1024 * 1024];
    for payload in [b"hello".as_slice(), HOLDER.as_bytes(), &long] {
        inside.write_all(&frame(0x82, payload)).unwrap();
        assert!(read_frame(&mut inside) == (0x82, payload.to_vec()), "{} bytes", payload.len());
    }
    inside.write_all(&frame(0x89, b"ping")).unwrap();
    assert_eq!(read_frame(&mut inside), (0x89, b"ping".to_vec()));
    drop(inside);
    let line = world.guard.decision(&json!({ "method": "GET", "path": "/socket" }));
    assert_eq!((&line["reason"], &line["secrets"]), (&json!("a WebSocket, closed"), &json!(["TOKEN"])));
    assert!(line["bytes_up"].as_u64().unwrap() > 1024 * 1024, "{line}");
}

#[test]
fn a_secret_in_a_frame_ends_the_websocket_before_it_leaves() {
    let (first, second) = VALUE.split_at(12);
    let cases: [Vec<Vec<u8>>; 4] = [
        vec![frame(0x81, VALUE.as_bytes())],
        vec![frame(0x82, &[b"\0\x01\x02", VALUE.as_bytes(), b"\xff"].concat())],
        vec![frame(0x89, VALUE.as_bytes())],
        vec![frame(0x01, first.as_bytes()), frame(0x80, second.as_bytes())],
    ];
    for frames in cases {
        let world = World::new(b"", |_| ());
        let mut inside = world.socket();
        for bytes in &frames {
            inside.write_all(bytes).unwrap();
        }
        let mut last = read_frame(&mut inside);
        while last.0 != 0x88 {
            last = read_frame(&mut inside);
        }
        assert_eq!(last.1, b"\x03\xf0dlp_secret");
        world.guard.decision(&json!({ "code": "dlp_secret", "path": "/socket" }));
        // The host sees the frames that went before.
        let seen = world.upstream.received();
        assert!(!seen.contains(VALUE) && !seen.contains(second), "{seen}");
        assert!(world.guard.log().iter().all(|line| !line.to_string().contains(VALUE)));
    }
}

#[test]
fn a_secret_that_comes_back_in_a_frame_is_masked_or_ends_the_websocket() {
    let says: &'static [u8] = Box::leak(
        [&[0x81, VALUE.len() as u8 + 2][..], b"<", VALUE.as_bytes(), b">"].concat().into_boxed_slice(),
    );
    let world = World::new(says, |_| ());
    let masked = format!("<{}>", "*".repeat(VALUE.len()));
    assert_eq!(read_frame(&mut world.socket()), (0x81, masked.into_bytes()));
    let (first, second) = VALUE.split_at(12);
    let parts =
        [&[0x01, first.len() as u8], first.as_bytes(), &[0x80, second.len() as u8], second.as_bytes()];
    let says: &'static [u8] = Box::leak(parts.concat().into_boxed_slice());
    let world = World::new(says, |_| ());
    let mut inside = world.socket();
    assert_eq!(read_frame(&mut inside), (0x01, first.as_bytes().to_vec()));
    assert_eq!(read_frame(&mut inside), (0x88, b"\x03\xf0secret_reflected".to_vec()));
    world.guard.decision(&json!({ "code": "secret_reflected" }));
}

#[test]
fn what_is_not_a_plain_frame_ends_the_websocket() {
    for (bytes, code) in [
        // Without a mask, compressed, and larger than is taken.
        (vec![0x81, 1, b'x'], "bad_request"),
        (frame(0xc1, b"x"), "bad_request"),
        (frame(0x80, b"x"), "bad_request"),
        (vec![0x82, 0xff, 0, 0, 0, 0, 2, 0, 0, 0], "too_large"),
    ] {
        let world = World::new(b"", |_| ());
        let mut inside = world.socket();
        inside.write_all(&bytes).unwrap();
        let (first, payload) = read_frame(&mut inside);
        assert!(first == 0x88 && payload[2..] == *code.as_bytes(), "{first} {payload:?}");
        world.guard.decision(&json!({ "code": code, "path": "/socket" }));
    }
}

#[test]
fn an_upgrade_that_is_answered_with_something_else_stays_http() {
    let roots = Roots::new();
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Upstream::tls(roots.server_for(&HOSTS), ok);
    let guard = start(&config(upstream.port, &roots.pem));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("own.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "own.test"), &[]).unwrap();
    // The next request is read by the parser, and decided.
    let both = format!(
        "GET /1 HTTP/1.1\r\nHost: {authority}\r\n{ASKS}\r\nGET /2 HTTP/1.1\r\nHost: else.test:{}\r\n\r\n",
        upstream.port
    );
    inside.write_all(both.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut inside).status, 200);
    assert_eq!(read_answer(&mut inside).code(), "host_mismatch");
    assert!(!upstream.received().contains("/2"));
    // And one that was not asked for is no answer.
    let upstream = Upstream::tls(roots.server_for(&HOSTS), AGREES);
    let guard = start(&config(upstream.port, &roots.pem));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("own.test:{}", upstream.port);
    let mut inside = handshake(open_tunnel(guard.address(), &authority), (&ca, "own.test"), &[]).unwrap();
    write!(inside, "GET /1 HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut inside).code(), "upstream_failed");
}

#[test]
fn a_rule_with_methods_lets_no_websocket_through() {
    let rule = |world: &str| json!([{ "rule": world }]);
    for (rules, status) in [
        ("GET own.test:PORT", 403),
        ("own.test:PORT/socket", 101),
        ("own.test:PORT", 101),
        ("own.test:PORT/x", 403),
    ] {
        let world = World::new(b"", |config| {
            let port = config["tls_ports"][0].to_string();
            config["policy"]["rules"] = rule(&rules.replace("PORT", &port));
        });
        let (_, answer) = world.ask(ASKS);
        assert_eq!(answer.status, status, "{rules}");
    }
}

#[test]
fn only_a_websocket_is_asked_for_and_over_tls_alone() {
    let world = World::new(b"", |_| ());
    for headers in [
        ASKS.replace("Upgrade: websocket", "Upgrade: tunnel"),
        ASKS.replace("Upgrade: websocket", "Upgrade: websocket, tunnel"),
        ASKS.replace("keep-alive, Upgrade", "keep-alive"),
        format!("{ASKS}Content-Length: 5\r\n"),
        format!("{ASKS}Transfer-Encoding: chunked\r\n"),
        ASKS.replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: tunnel\r\n"),
    ] {
        assert_eq!(world.ask(&headers).1.code(), "upgrade_refused", "{headers}");
    }
    assert_eq!(world.upstream.received(), "");
}
