//! Masks: what they find, and that a stream comes out as if it had been one piece.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

const VALUE: &str = "s3cr3t/Value\"0123+456";
/// The end of the one is the beginning of the other.
const ONE: &str = "abcdefghij";
const TWO: &str = "ghijklmnop";

/// Made once, since that takes longer than looking.
static MASK: LazyLock<Mask> = LazyLock::new(|| mask(&[ONE, TWO, VALUE]));

fn mask(values: &[&str]) -> Mask {
    Mask::new(values.iter().map(|value| ("TOKEN", *value))).unwrap()
}

#[test]
fn every_form_is_overwritten_at_its_length() {
    let overwrite = mask(&[VALUE]);
    let encoded =
        |engine: &dyn Fn(&[u8]) -> String, before: &str| engine(format!("{before}{VALUE}").as_bytes());
    let standard = |bytes: &[u8]| STANDARD.encode(bytes);
    let url = |bytes: &[u8]| URL_SAFE.encode(bytes);
    let mut texts = vec![
        VALUE.to_owned(),
        serde_json::to_string(VALUE).unwrap(),
        "s3cr3t\\/Value\\\"0123+456".to_owned(),
        "s3cr3t%2FValue%220123%2B456".to_owned(),
        "s3cr3t%2fValue%220123%2b456".to_owned(),
        "7333637233742f56616c756522303132332b343536".to_owned(),
    ];
    for before in ["", "a", "ab", "user:"] {
        texts.extend([encoded(&standard, before), encoded(&url, before)]);
    }
    for text in texts {
        let whole = format!("<{text}>");
        let masked = String::from_utf8(overwrite.whole(whole.as_bytes()).expect(&text)).unwrap();
        assert_eq!(masked.len(), whole.len());
        // Characters that hold bits of a neighbour stay.
        let stars = masked.bytes().filter(|byte| *byte == FILLER).count();
        assert!(
            stars + 10 >= text.len() && masked.starts_with('<') && masked.ends_with('>'),
            "{text} {masked}"
        );
    }
    for clean in ["", "s3cr3t", "an ordinary text"] {
        assert_eq!(overwrite.whole(clean.as_bytes()), None);
    }
    assert!(mask(&["short", "   "]).is_empty());
}

#[test]
fn nothing_is_held_but_the_beginning_of_a_secret() {
    let mask = mask(&[ONE]);
    let mut masking = Masking::new(&mask);
    let push =
        |masking: &mut Masking<'_>, text: &'static str| masking.push(Bytes::from_static(text.as_bytes()));
    assert_eq!(push(&mut masking, "data: one\n\n"), "data: one\n\n");
    assert_eq!(push(&mut masking, "x abcde"), "x ");
    assert_eq!(push(&mut masking, "f"), "");
    assert_eq!(masking.pause(), "", "what waits is too long to go");
    assert_eq!(push(&mut masking, "x"), "abcdefx");
    assert_eq!(push(&mut masking, "abc"), "");
    assert_eq!(masking.pause(), "abc");
    assert_eq!(masking.waiting(), 0);
    assert_eq!(masking.found(), None);
    assert_eq!(push(&mut masking, "defghij!"), "*******!", "the rest is known when it comes");
    assert_eq!(masking.found(), Some("TOKEN"));
    assert_eq!(push(&mut masking, "abcd"), "");
    assert_eq!(masking.finish(), "abcd");
}

#[test]
fn secrets_that_overlap_are_overwritten_whole() {
    let mask = mask(&[ONE, TWO]);
    assert_eq!(mask.whole(b"<abcdefghijklmnop>").unwrap(), b"<****************>");
    let mut masking = Masking::new(&mask);
    let mut given = masking.push(Bytes::from_static(b"<abcdefghij")).to_vec();
    assert_eq!(given, b"<******", "the last letters may begin another");
    given.extend_from_slice(&masking.push(Bytes::from_static(b"!>")));
    assert_eq!(given, b"<**********!>");
}

/// Texts full of whole and cut secrets.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let encoded = STANDARD.encode(format!("x{ONE}"));
    let whole = [ONE.to_owned(), TWO.to_owned(), VALUE.to_owned(), encoded];
    let part = (prop::sample::select(whole.to_vec()), 0..24_usize, 0..24_usize, "[ a-j]{0,2}").prop_map(
        |(text, from, to, more)| {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            format!("{}{more}", &text[from.min(to)..from.max(to)])
        },
    );
    let part = prop_oneof![2 => part, 1 => prop::sample::select(whole.to_vec())];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat().into_bytes())
}

/// Overwrites by comparing at every place.
fn slow(needles: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut masked = text.to_vec();
    for needle in needles {
        for at in 0..text.len() {
            if text[at..].starts_with(needle) {
                masked[at..at + needle.len()].fill(FILLER);
            }
        }
    }
    masked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_stream_is_masked_as_the_whole_is(text in text(), sizes in prop::collection::vec(1..9_usize, 1..40)) {
        let mask = &*MASK;
        let expected = slow(&mask.needles, &text);
        prop_assert_eq!(mask.whole(&text).unwrap_or_else(|| text.clone()), expected.clone());
        let (mut masking, mut given, mut rest) = (Masking::new(mask), Vec::new(), text.as_slice());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            given.extend_from_slice(&masking.push(Bytes::copy_from_slice(piece)));
            rest = behind;
        }
        given.extend_from_slice(&masking.finish());
        prop_assert_eq!(masking.found().is_some(), expected != text);
        prop_assert_eq!(String::from_utf8_lossy(&given), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn what_goes_in_a_pause_is_four_bytes_at_most(text in text(), cut in 0..30_usize) {
        let mask = &*MASK;
        let (first, second) = text.split_at(cut.min(text.len()));
        let mut masking = Masking::new(mask);
        let mut given = masking.push(Bytes::copy_from_slice(first)).to_vec();
        let before = given.len();
        given.extend_from_slice(&masking.pause());
        prop_assert!(given.len() - before <= MAY_GO);
        given.extend_from_slice(&masking.push(Bytes::copy_from_slice(second)));
        given.extend_from_slice(&masking.finish());
        let expected = slow(&mask.needles, &text);
        prop_assert_eq!(given.len(), expected.len());
        let differ = given.iter().zip(&expected).filter(|(one, other)| one != other).count();
        prop_assert!(differ <= MAY_GO, "{} {}", String::from_utf8_lossy(&given), String::from_utf8_lossy(&expected));
    }
}
