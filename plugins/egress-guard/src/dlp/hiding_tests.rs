//! Credentials hidden at random in random text, in every way the guard sees through: what the fast search says is
//! compared with a slow one that has no table, no neighbourhood and no shortcut.

use std::fmt::Write as _;

use claude_bottle_egress_policy::{GuardSecret, GuardSecrets};
use memchr::memmem;

use secret_scan::normalise;
use secret_scan::sample::Random;
use secret_scan::secrets;

use super::*;

/// Texts made in each test. The numbers are drawn from a fixed seed, so that a failure comes again.
const ROUNDS: usize = 60;

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Ways to hide a text of ASCII, each of which the guard sees through by itself.
const WAYS: &[fn(&str, &mut Random) -> String] = &[
    |text, _| text.to_owned(),
    |text, random| based(text, random, BASE64, 6),
    |text, random| based(text, random, BASE64_URL, 6),
    |text, random| based(text, random, BASE32, 5),
    |text, random| {
        let between = random.pick(&["", "", ":", "-", " ", ", "]);
        let pairs: Vec<String> = text.bytes().map(|b| format!("{b:02x}")).collect();
        pairs.join(between)
    },
    |text, random| each_maybe(text, random, |b| format!("%{b:02x}")),
    |text, random| each_maybe(text, random, |b| format!("%{}{b:02X}", "25".repeat(2))),
    |text, random| each_maybe(text, random, |b| format!("\\u{b:04x}")),
    |text, random| each_maybe(text, random, |b| format!("\\x{b:02x}")),
    |text, random| each_maybe(text, random, |b| format!("{}\u{200b}", char::from(b))),
    |text, random| each_maybe(text, random, wide),
    |text, random| each_maybe(text, random, |b| format!("{}\u{301}", char::from(b))),
];

/// Ways that leave letters and digits in their order, which is enough to find a secret and not to find a form.
const SECRET_WAYS: &[fn(&str, &mut Random) -> String] = &[
    |text, random| {
        let between = random.pick(&["-", " ", ".", "/", "\n", "\u{2014}"]);
        text.chars().map(|c| format!("{c}{between}")).collect()
    },
    |text, random| each_maybe(text, random, |b| format!("{}  \\n", char::from(b))),
    |text, _| text.to_ascii_uppercase(),
];

fn each_maybe(text: &str, random: &mut Random, change: impl Fn(u8) -> String) -> String {
    let always = random.below(3) == 0;
    let mut hidden = String::new();
    for byte in text.bytes() {
        if always || random.below(3) == 0 {
            hidden.push_str(&change(byte));
        } else {
            hidden.push(char::from(byte));
        }
    }
    hidden
}

/// The full-width form of a byte.
fn wide(byte: u8) -> String {
    char::from_u32(u32::from(byte) + 0xfee0)
        .filter(|_| byte.is_ascii_graphic())
        .map_or_else(|| char::from(byte).to_string(), String::from)
}

/// Encodes with some bytes in front and behind, so that every alignment comes up.
fn based(text: &str, random: &mut Random, alphabet: &[u8], bits: usize) -> String {
    let (before, behind) = (random.below(6), random.below(6));
    let whole = [&b" a b  "[6 - before..], text.as_bytes(), &b"  c d "[..behind]].concat();
    let bit = |at: usize| whole.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let digit = |index: usize| (0..bits).fold(0, |sum, offset| sum << 1 | bit(index * bits + offset));
    (0..(whole.len() * 8).div_ceil(bits)).map(|index| char::from(alphabet[digit(index)])).collect()
}

/// Text with everything in it that makes the guard read on: escapes, percent signs, long names, other scripts.
fn noise(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.below(40) {
        match random.below(14) {
            0 => text.push_str("\\n\\t\\\""),
            1 => text.push_str("100% of é and 漢字 "),
            2 => text.push_str(&random.text(ALNUM, 24)),
            3 => write!(text, "{:x}", random.below(usize::MAX)).unwrap(),
            4 => text.push_str("some_longer_name_of_a_thing::path/to/it "),
            5 => text.push_str("\\u00e9%20&key=token: pat s. sk "),
            6 => text.push('\n'),
            _ => {
                let length = 1 + random.below(9);
                text.push_str(&random.text(LETTERS, length));
                text.push(' ');
            }
        }
    }
    text
}

fn secret(random: &mut Random) -> String {
    let punctuated = [ALNUM, "-_+/.!$"].concat();
    let length = 12 + random.below(40);
    match random.below(5) {
        0 => random.text("0123456789abcdef", length),
        1 => random.text(&punctuated, 8 + length).replace("..", "a"),
        2 => random.text(LETTERS, length),
        _ => random.text(ALNUM, length),
    }
}

/// Something that fits a rule, by name.
fn credential(random: &mut Random) -> String {
    let hex = "0123456789abcdef";
    match random.below(6) {
        0 => ["gh", "p_", &random.text(ALNUM, 36)].concat(),
        1 => ["AK", "IA", &random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)].concat(),
        2 => ["S", "K", &random.text(hex, 32)].concat(),
        3 => ["s", ".", &random.text(ALNUM, 24)].concat(),
        4 => ["pa", "t", &random.text(ALNUM, 14), ".", &random.text(hex, 64)].concat(),
        _ => ["h", "f_", &random.text(LETTERS, 34)].concat(),
    }
}

fn inspect(secret: &str, text: &str) -> (bool, bool) {
    let entry = GuardSecret { name: "TOKEN".to_owned(), value: secret.to_owned(), hosts: Vec::new() };
    let look = |secrets: DlpAction, rules: DlpAction| {
        let config = DlpConfig { secrets, rules, ..DlpConfig::default() };
        let known = GuardSecrets { entries: vec![entry.clone()] };
        let host = HostOrIp::parse("a.example").unwrap();
        let inspector = Inspector::new(&config, &known).unwrap();
        inspector.body_piece(text.as_bytes(), (&host, false), &mut Scratch::default()).block.is_some()
    };
    (look(DlpAction::Block, DlpAction::Warn), look(DlpAction::Warn, DlpAction::Block))
}

/// The same by every reading of the whole text, three deep, and comparison at every place.
fn inspect_slowly(secret: &str, text: &str) -> (bool, bool) {
    let mut level = vec![text.as_bytes().to_vec()];
    let forms = secrets::forms_of(secret.as_bytes());
    let (mut has_secret, mut has_rule) = (false, false);
    for depth in 0..=views::DEPTH {
        let mut next = Vec::new();
        for reading in &level {
            has_secret |= forms.iter().any(|form| holds(reading, form));
            has_rule |= rules::builtin().unwrap().fits_slowly(reading);
            if depth < views::DEPTH {
                let steps = [decode::percent(reading), decode::escapes(reading), normalise::fold(reading)];
                next.extend(steps.into_iter().flatten());
                let runs = decode::Runs::new(reading);
                next.extend((0..4).map(|shift| runs.base64(shift)).chain([runs.hex(), runs.base32()]));
            }
        }
        next.retain(|reading| !reading.is_empty());
        next.sort();
        next.dedup();
        level = next;
    }
    (has_secret, has_rule)
}

fn holds(text: &[u8], form: &[u8]) -> bool {
    let within = |text: &[u8], form: &[u8]| {
        memmem::find(&text.to_ascii_lowercase(), &form.to_ascii_lowercase()).is_some()
    };
    let (bare_text, bare) = (normalise::squeeze(text), normalise::squeeze(form));
    within(text, form) || (bare.len() >= 12 && within(&bare_text, &bare))
}

fn around(hidden: &str, random: &mut Random) -> String {
    // In lines of its own: what stands beside it could otherwise be taken for more of the same code.
    format!("{}\n{hidden}\n{}", noise(random), noise(random))
}

#[test]
fn every_way_to_hide_is_seen_through() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..ROUNDS {
        let (value, form) = (secret(&mut random), credential(&mut random));
        for (index, way) in WAYS.iter().chain(SECRET_WAYS).enumerate() {
            let text = around(&way(&value, &mut random), &mut random);
            assert!(inspect(&value, &text).0, "round {round}, way {index}: `{value}` in `{text}`");
        }
        for (index, way) in WAYS.iter().enumerate() {
            let text = around(&way(&form, &mut random), &mut random);
            // Some are too regular by chance.
            let fits = rules::builtin().unwrap().fits_slowly(form.as_bytes());
            assert!(!fits || inspect(&value, &text).1, "round {round}, way {index}: `{form}` in `{text}`");
        }
    }
}

#[test]
fn the_fast_search_finds_what_the_slow_one_finds() {
    let mut random = Random(0x0fed_cba9_8765_4321);
    let (mut found, mut clean) = ([0; 2], [0; 2]);
    for round in 0..ROUNDS {
        let value = secret(&mut random);
        let mut hidden = if random.below(2) == 0 { value.clone() } else { credential(&mut random) };
        // Every third is spoiled by one character, and so are some of what it is hidden in.
        if random.below(3) == 0 {
            let at = random.below(hidden.len());
            hidden.replace_range(at..=at, "~");
        }
        for _ in 0..1 + random.below(3) {
            let way = random.below(WAYS.len() + SECRET_WAYS.len());
            let way = WAYS.iter().chain(SECRET_WAYS).nth(way).unwrap();
            hidden = way(&hidden, &mut random);
        }
        let text = around(&hidden, &mut random);
        let (fast, slow) = (inspect(&value, &text), inspect_slowly(&value, &text));
        assert_eq!(fast, slow, "round {round}: `{value}` in `{text}`");
        for (index, is) in [slow.0, slow.1].into_iter().enumerate() {
            *(if is { &mut found[index] } else { &mut clean[index] }) += 1;
        }
    }
    assert!(found.iter().chain(&clean).all(|count| *count > ROUNDS / 10), "{found:?} {clean:?}");
}
