//! Request heads and bodies: whatever is accepted has one reading, and arriving in pieces changes nothing.

#![no_main]

use bytes::BytesMut;
use egress_guard::http::destination::destination;
use egress_guard::http::framing::{BodyDecoder, BodyLength, Piece, body_length};
use egress_guard::http::head::{find_end, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = find_end(data, 0);
    for cut in [data.len() / 3, data.len() / 2] {
        match find_end(&data[..cut], 0) {
            Ok(None) => assert_eq!(find_end(data, cut), whole),
            early => assert_eq!(early, whole),
        }
    }
    let Ok(Some(end)) = whole else { return };
    let Ok(head) = parse(&data[..end], 64) else { return };
    assert!(head.target.bytes().all(|b| b.is_ascii_graphic()));
    assert!(head.headers.iter().all(|h| !h.value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))));
    if let Ok(wanted) = destination(&head) {
        let host = wanted.host.to_string();
        assert!(!host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"%@/\\?#".contains(&b)));
        assert!(head.values("host").count() <= 1);
    }
    if let Ok(length) = body_length(&head) {
        decode(length, &data[end..]);
    }
});

/// Byte by byte and at once have to agree.
fn decode(length: BodyLength, data: &[u8]) {
    let at_once = run(length, &[data]);
    let pieces: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(at_once, run(length, &pieces));
    if let BodyLength::Known(known) = length {
        assert!(at_once.0.len() as u64 <= known);
    }
}

/// Returns the body so far, and whether it ended, failed, or waits.
fn run(length: BodyLength, pieces: &[&[u8]]) -> (Vec<u8>, &'static str) {
    let mut decoder = BodyDecoder::new(length);
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    let mut pieces = pieces.iter();
    loop {
        match decoder.next(&mut buffer) {
            Err(_) => return (body, "failed"),
            Ok(Piece::End) => return (body, "ended"),
            Ok(Piece::Data(data)) => body.extend_from_slice(&data),
            Ok(Piece::More) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => return (body, "waits"),
            },
        }
    }
}
