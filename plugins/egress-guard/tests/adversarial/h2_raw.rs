//! Frames of HTTP/2 that no library would send, and floods of them.

use std::io::{Read, Write};

use serde_json::json;

use crate::support::certificates::Roots;
use crate::support::h2::{Host, Message};
use crate::support::held::{HOSTS, config, start};
use crate::support::inside::{Inside, handshake};
use crate::support::{Guard, open_tunnel};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames, <https://www.rfc-editor.org/rfc/rfc9113#section-6>.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub(super) const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) struct World {
    host: Host,
    pub(super) guard: Guard,
    ca: String,
}

impl World {
    fn new() -> Self {
        Self::answering(|_| Message { body: "ok".to_owned(), ..Message::default() })
    }

    pub(super) fn answering(answer: impl Fn(&Message) -> Message + Send + Sync + 'static) -> Self {
        let roots = Roots::new();
        let host = Host::start(&roots.server_for(&HOSTS), answer);
        let guard = start(&config(host.port, &roots.pem));
        let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
        Self { host, guard, ca }
    }

    fn authority(&self) -> String {
        format!("own.test:{}", self.host.port)
    }

    /// A connection behind its preface.
    pub(super) fn inside(&self) -> Inside {
        inside(&self.guard, &self.ca, &self.authority())
    }

    /// Checks that the guard still serves.
    fn serves(&self) {
        let mut inside = self.inside();
        inside.write_all(&request(1, &self.fields(&[]))).unwrap();
        assert_eq!(until(&mut inside, HEADERS).1 & END_HEADERS, END_HEADERS);
    }

    pub(super) fn fields<'f>(&'f self, more: &[(&'f str, &'f str)]) -> Vec<(String, String)> {
        let authority = self.authority();
        let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", &authority)];
        fields.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection behind its preface.
pub(super) fn inside(guard: &Guard, ca: &str, authority: &str) -> Inside {
    let tunnel = open_tunnel(guard.address(), authority);
    let mut inside = handshake(tunnel, (ca, "own.test"), &["h2"]).unwrap();
    inside.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).unwrap();
    inside
}

/// Header lines as literals that are never indexed: <https://www.rfc-editor.org/rfc/rfc7541#section-6.2.3>.
pub(super) fn block(fields: &[(String, String)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = text.len();
        let prefix = if length < 127 { vec![length as u8] } else { vec![127, (length - 127) as u8] };
        [&prefix, text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0x10], text(name), text(value)].concat()).collect()
}

pub(super) fn request(stream: u32, fields: &[(String, String)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// Reads the next frame: type, flags, stream, payload. Nothing at the end.
pub(super) fn next(inside: &mut Inside) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    inside.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; length];
    inside.read_exact(&mut payload).ok()?;
    Some((head[3], head[4], stream, payload))
}

pub(super) fn until(inside: &mut Inside, kind: u8) -> (u8, u8, u32, Vec<u8>) {
    loop {
        let frame = next(inside).unwrap_or_else(|| panic!("ended before a frame of type {kind}"));
        if frame.0 == kind {
            return frame;
        }
    }
}

#[test]
fn a_stream_for_another_place_or_for_none_reaches_no_host() {
    let world = World::new();
    let own = world.authority();
    let without = |name: &str, more: &[(&str, &str)]| {
        let mut fields = world.fields(more);
        fields.retain(|(field, _)| field != name || more.iter().any(|(other, _)| *other == name));
        fields
    };
    let with = |name: &str, value: &str| {
        let mut fields = world.fields(&[]);
        fields.iter_mut().filter(|(field, _)| field == name).for_each(|(_, old)| value.clone_into(old));
        fields
    };
    for fields in [
        with(":authority", "else.test"),
        with(":authority", "own.test:1"),
        with(":authority", ""),
        without(":authority", &[]),
        world.fields(&[(":authority", "else.test")]),
        world.fields(&[("host", "else.test")]),
        world.fields(&[("host", &own)]),
        with(":path", "https://else.test/"),
        with(":path", "*"),
        with(":path", ""),
        with(":scheme", "http"),
        with(":method", "CONNECT"),
        with(":method", "G(T"),
        world.fields(&[("transfer-encoding", "chunked")]),
        world.fields(&[("connection", "close")]),
        world.fields(&[("content-length", "1"), ("content-length", "2")]),
        world.fields(&[("x-note", "a\r\nb: c")]),
        world.fields(&[("X-Upper", "a")]),
    ] {
        let mut inside = world.inside();
        inside.write_all(&request(1, &fields)).unwrap();
        // An answer that refuses, or the end of the stream or the connection.
        loop {
            match next(&mut inside) {
                Some((HEADERS | RESET, _, 1, _) | (GOAWAY, ..)) | None => break,
                Some(_) => {}
            }
        }
        assert_eq!(world.host.seen().len(), 0, "{fields:?}: {}", world.host.text());
    }
    world.guard.decision(&json!({ "code": "host_mismatch" }));
    world.serves();
    assert_eq!(world.host.seen().len(), 1);
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let world = World::new();
    let mut inside = world.inside();
    let fields = world.fields(&[]);
    let ended = (0..50_000_u32).any(|number| {
        let stream = number * 2 + 1;
        let both = [request(stream, &fields), frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat();
        inside.write_all(&both).is_err()
    });
    assert!(ended, "50,000 streams were opened and reset");
    assert!(world.host.seen().len() < 1_000, "{}", world.host.seen().len());
    world.serves();
}

#[test]
fn a_head_without_end_and_one_that_is_too_large_are_refused() {
    let world = World::new();
    let mut inside = world.inside();
    inside.write_all(&frame(HEADERS, END_STREAM, 1, &block(&world.fields(&[])))).unwrap();
    let filler = block(&[("x-filler".to_owned(), "y".repeat(100))]);
    let ended = (0..100_000).any(|_| inside.write_all(&frame(CONTINUATION, 0, 1, &filler)).is_err());
    assert!(ended, "11 MB of a head were taken");
    let mut inside = world.inside();
    let many: Vec<(String, String)> =
        (0..1_000).map(|number| (format!("x-{number}"), "y".repeat(200))).collect();
    let whole = block(&[world.fields(&[]), many].concat());
    let (first, rest) = whole.split_at(16_000);
    inside.write_all(&frame(HEADERS, END_STREAM, 1, first)).unwrap();
    let pieces: Vec<&[u8]> = rest.chunks(16_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let flags = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        if inside.write_all(&frame(CONTINUATION, flags, 1, piece)).is_err() {
            break;
        }
    }
    // 431, or the end.
    while let Some((kind, ..)) = next(&mut inside) {
        if matches!(kind, HEADERS | RESET | GOAWAY) {
            break;
        }
    }
    assert_eq!(world.host.seen().len(), 0);
    world.serves();
}

#[test]
fn no_more_streams_are_open_than_were_granted() {
    let world = World::new();
    let mut inside = world.inside();
    let (_, _, _, settings) = until(&mut inside, SETTINGS);
    let most = settings.chunks(6).find(|entry| entry[..2] == [0, 3]).expect("a limit of streams");
    assert_eq!(u32::from_be_bytes(most[2..6].try_into().unwrap()), 64);
    // Bodies that never end keep their streams open.
    let fields = block(&world.fields(&[]));
    for number in 0..80_u32 {
        inside.write_all(&frame(HEADERS, END_HEADERS, number * 2 + 1, &fields)).unwrap();
    }
    let (_, _, stream, reason) = until(&mut inside, RESET);
    assert!(stream > 128, "{stream}");
    // `REFUSED_STREAM`.
    assert_eq!(reason, 7_u32.to_be_bytes());
    world.serves();
}
