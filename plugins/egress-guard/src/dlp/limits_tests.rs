//! The lines up to which a secret is looked for, each from both sides: what is found just before it, and what is not
//! claimed behind it, which docs/egress.md lists.

use std::io::Write as _;

use claude_bottle_egress_policy::GuardSecrets;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::body::BodyScan;
use super::unpack::Packing;
use super::*;
use crate::http::destination::destination;
use crate::http::head;

const VALUE: &str = "s3cr3tValue0123456789xyz";

fn inspector() -> Inspector {
    let json = serde_json::json!([{ "name": "TOKEN", "value": VALUE, "hosts": ["api.example"] }]).to_string();
    Inspector::new(&DlpConfig::default(), &GuardSecrets::from_json(&json).unwrap()).unwrap()
}

/// Returns `true` if a request without a body is refused.
fn head_is_refused(host: &str, path: &str, headers: &str) -> bool {
    let text = format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    let head = head::parse(text.as_bytes(), 2_000).unwrap();
    inspector().head(&head, &destination(&head).unwrap()).block.is_some()
}

/// Returns `true` if a body is refused, sent in pieces of an odd length.
fn body_is_refused(body: &[u8]) -> bool {
    is_refused(body, false)
}

fn form_is_refused(body: &str) -> bool {
    is_refused(body.as_bytes(), true)
}

fn is_refused(body: &[u8], form: bool) -> bool {
    let (inspector, host) = (inspector(), HostOrIp::parse("a.example").unwrap());
    [1_009, 70_001].into_iter().all(|length| {
        let scan = BodyScan::new(&inspector, &host, Packing::Plain);
        let mut scan = if form { scan.of_form() } else { scan };
        for piece in body.chunks(length) {
            drop(scan.push(piece).unwrap());
        }
        drop(scan.finish().unwrap());
        scan.findings().block.is_some()
    })
}

pub(super) fn base64(text: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| text.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let digit = |index: usize| (0..6).fold(0, |sum, offset| sum << 1 | bit(index * 6 + offset));
    (0..(text.len() * 8).div_ceil(6)).map(|index| char::from(LETTERS[digit(index)])).collect()
}

fn wrapped(text: &str, width: usize) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| format!("{}\r\n", String::from_utf8_lossy(line)));
    lines.collect()
}

fn nested(depth: usize) -> String {
    (0..depth).fold(VALUE.to_owned(), |text, _| base64(text.as_bytes()))
}

#[test]
fn encodings_within_each_other_are_found_among_any_junk() {
    let junk = "an ordinary line, 100% of it with a \\\\ and an \u{e9} in it, so that each reading differs\n";
    for depth in 1..=4 {
        let text = [&junk.repeat(150), "\n", &nested(depth), "\n", &junk.repeat(150)].concat();
        assert!(body_is_refused(text.as_bytes()), "{depth}");
    }
    // In the middle of letters that decode to anything.
    let noise: Vec<u8> = (0..600_u32).map(|n| ((n * n * 7919) >> 3).to_le_bytes()[0]).collect();
    for before in 90..94 {
        let hidden = [&noise[..before], nested(2).as_bytes(), &noise].concat();
        assert!(body_is_refused(base64(&hidden).as_bytes()), "{before}");
    }
    assert!(!body_is_refused(nested(5).as_bytes()));
}

#[test]
fn parts_are_found_behind_any_number_of_others() {
    let others: String = (0..4_000).map(|n| format!("&p{n}=word{n}")).collect();
    assert!(head_is_refused("a.example", &format!("/?x=1{others}&a=s3cr3tVa&b=lue01234&c=56789xyz"), ""));
    assert!(!head_is_refused("a.example", &format!("/?x=1{others}&a=s3cr3tVa&b=lue01234"), ""));
}

#[test]
fn parts_of_three_letters_are_found_in_any_order_and_shorter_ones_in_theirs() {
    assert!(head_is_refused("a.example", "/?a=xyz&b=789&c=456&d=123&e=ue0&f=Val&g=r3t&h=s3c", ""));
    assert!(head_is_refused(
        "a.example",
        "/?a=s3&b=cr&c=3t&d=Va&e=lu&f=e0&g=12&h=34&i=56&j=78&k=9x&l=yz",
        ""
    ));
    let each: String = VALUE.chars().enumerate().map(|(n, c)| format!("&p{n}={c}")).collect();
    assert!(head_is_refused("a.example", &format!("/?x=1{each}"), ""));
    assert!(!head_is_refused(
        "a.example",
        "/?a=yz&b=9x&c=78&d=56&e=34&f=12&g=e0&h=lu&i=Va&j=3t&k=cr&l=s3",
        ""
    ));
}

#[test]
fn parts_are_found_in_cookies_names_and_over_headers() {
    assert!(head_is_refused("a.example", "/", "Cookie: a=s3cr3tVa; b=lue01234; c=56789xyz\r\n"));
    assert!(head_is_refused("a.example", "/s3cr3tVa", "Authorization: lue01234\r\nX-Api-Key: 56789xyz\r\n"));
    assert!(head_is_refused("a.example", "/", "X-S3cr3tVa: 1\r\nX-Lue01234: 1\r\nX-56789xyz: 1\r\n"));
    assert!(head_is_refused("s3cr3tva.lue01234.a.example", "/56789xyz", ""));
    let each: String = VALUE.chars().map(|c| format!("X-Note: {c}\r\n")).collect();
    assert!(head_is_refused("a.example", "/", &each));
    // Its own host may have the secret there, and so may have its parts.
    assert!(!head_is_refused("api.example", "/", "Cookie: a=s3cr3tVa; b=lue01234; c=56789xyz\r\n"));
    assert!(head_is_refused("api.example", "/", "X-Note: s3cr3tVa lue01234 56789xyz\r\n"));
    // Shorter parts are found in their order alone, and another header between them is in it.
    let parted: String = VALUE.chars().map(|c| format!("X-Note: {c}\r\nX-More: other\r\n")).collect();
    assert!(!head_is_refused("a.example", "/", &parted));
}

#[test]
fn a_gap_of_any_width_is_seen_through() {
    for gap in [5_000, 100_000] {
        for cut in [1, 12, VALUE.len() - 1] {
            let text = [&VALUE[..cut], &" ".repeat(gap), &VALUE[cut..], "\n"].concat();
            assert!(body_is_refused(text.as_bytes()), "{gap} {cut}");
        }
        let each: String = VALUE.chars().map(|c| format!("{c}{}", "- ".repeat(gap / 2))).collect();
        assert!(body_is_refused(each.as_bytes()), "{gap}");
    }
    let other = ["s3cr3tValue", &" ".repeat(100_000), "and other words"].concat();
    assert!(!body_is_refused(other.as_bytes()));
    // Within an encoding, a gap has to fit into a window.
    let text = nested(2);
    let parted = [&text[..20], &"\r\n".repeat(50_000), &text[20..]].concat();
    assert!(!body_is_refused(parted.as_bytes()));
}

#[test]
fn the_fields_of_a_form_are_put_together() {
    assert!(form_is_refused("a=s3cr3tVa&b=lue01234&c=56789xyz"));
    assert!(form_is_refused("c=56789xyz&a=s3cr3tVa&b=lue01234"));
    let each: String = VALUE.chars().map(|c| format!("f=%{:02x}&", u32::from(c))).collect();
    assert!(form_is_refused(&each));
    assert!(!form_is_refused("a=s3cr3tVa&b=lue01234&c=other"));
    // Only where the body says that it is a form, and not where its fields are of another kind.
    assert!(!body_is_refused(b"a=s3cr3tVa&b=lue01234&c=56789xyz"));
    assert!(!form_is_refused(r#"{"a":"s3","b":"cr","c":"3t","d":"Va","e":"lue0123456789xyz"}"#));
}

#[test]
fn a_packed_body_is_known_by_its_beginning() {
    let text = format!("{}{VALUE}\n", "an ordinary line\n".repeat(2_000));
    let pack = |text: &str| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(text.as_bytes()).unwrap();
    let gzip = pack(&text);
    assert!(body_is_refused(&gzip) && body_is_refused(&zlib.finish().unwrap()));
    // Its end may be missing or anything: what can be unpacked is looked at.
    assert!(body_is_refused(&gzip[..gzip.len() - 5]) && body_is_refused(&[&gzip[..], b"tail"].concat()));
    for clean in [
        pack("an ordinary line\n"),
        b"\x1f\x8b not packed".to_vec(),
        b"x\x9c neither".to_vec(),
        b"x".to_vec(),
    ] {
        assert!(!body_is_refused(&clean), "{clean:?}");
    }
    // Neither archives of other kinds nor packed text in other text are unpacked.
    let again = [b"PK\x03\x04".as_slice(), &gzip].concat();
    assert!(!body_is_refused(&again) && !body_is_refused(base64(&gzip).as_bytes()));
}

#[test]
fn look_alikes_are_seen_through_within_an_encoding() {
    let alike = "\u{455}3\u{441}r3tV\u{430}lu\u{435}0123456789\u{445}\u{443}z";
    assert!(body_is_refused(base64(alike.as_bytes()).as_bytes()));
    assert!(body_is_refused(base64(base64(alike.as_bytes()).as_bytes()).as_bytes()));
    // Text of 16 bits a character is none of the encodings.
    let wide: Vec<u8> = VALUE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(!body_is_refused(base64(&wide).as_bytes()));
}

#[test]
fn wrapped_lines_are_put_together_within_an_encoding() {
    for before in 0..8 {
        let text = format!("{}{VALUE} and so on", &"some words before it "[..before]);
        for (inner, outer) in [(76, 76), (20, 64), (33, 19)] {
            let hidden = wrapped(&base64(wrapped(&base64(text.as_bytes()), inner).as_bytes()), outer);
            assert!(body_is_refused(hidden.as_bytes()), "{before} {inner} {outer}");
        }
    }
    let narrow = wrapped(&nested(2), 10);
    assert!(!body_is_refused(narrow.as_bytes()));
}
