//! Decoders for the forms a text can hide in. All are total: any input gives some output, never longer than itself
//! by more than a constant.

use std::borrow::Cow;

use memchr::memchr;

use super::runs::{class, long_runs, text, unwrapped, with_next_lines};

/// Characters of a base64 or base32 run, and bytes of a hexadecimal one, below which nothing is decoded.
const MIN_RUN: usize = 16;
const MIN_HEX_BYTES: usize = 8;

/// Rounds of percent-decoding. Each `%25` nested inside another is undone within one round already.
const PERCENT_ROUNDS: usize = 8;

/// Bytes of text among decoded bytes that are looked at; what is random has hardly ever as many in a row.
const MIN_TEXT: usize = 8;

/// Share of printable characters, in tenths, from which decoded bytes are text.
const PRINTABLE_TENTHS: usize = 9;

/// Undoes percent-encoding until nothing is left of it; nothing when there was none. `+` becomes a space in no case.
pub fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = percent_once(text)?;
    for _ in 1..PERCENT_ROUNDS {
        match percent_once(&decoded) {
            Some(next) => decoded = next,
            None => break,
        }
    }
    Some(decoded)
}

/// Adds what [`percent`] returns, and tells whether it returns anything.
pub fn percent_into(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    percent(text).is_some_and(|text| {
        decoded.extend_from_slice(&text);
        true
    })
}

fn percent_once(text: &[u8]) -> Option<Vec<u8>> {
    if !text.contains(&b'%') {
        return None;
    }
    let mut decoded = Vec::new();
    let (mut rest, mut found) = (text, false);
    while let Some(at) = memchr(b'%', rest) {
        decoded.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        // `%2525…41` is what comes of encoding again and again.
        let mut inner = rest;
        while inner.len() > 3 && inner.starts_with(b"25") {
            inner = &inner[2..];
        }
        match hex_pair(inner) {
            Some(byte) => {
                decoded.push(byte);
                rest = &inner[2..];
                found = true;
            }
            None => decoded.push(b'%'),
        }
    }
    decoded.extend_from_slice(rest);
    found.then_some(decoded)
}

/// Undoes the escapes of JSON strings and of source code; nothing when there are none.
pub fn escapes(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    escapes_into(text, &mut decoded).then_some(decoded)
}

/// Adds what [`escapes`] returns, and tells whether it returns anything.
pub fn escapes_into(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    if !text.contains(&b'\\') {
        return false;
    }
    decoded.reserve(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        decoded.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let [kind, tail @ ..] = rest else { break };
        match (kind, tail) {
            (b'u', [a, b, c, d, after @ ..]) => {
                match (hex_pair(&[*a, *b]), hex_pair(&[*c, *d])) {
                    (Some(high), Some(low)) => push_unit(u16::from_be_bytes([high, low]), decoded),
                    _ => decoded.extend_from_slice(b"\\u"),
                }
                rest = after;
            }
            (b'x', [a, b, after @ ..]) if hex_pair(&[*a, *b]).is_some() => {
                decoded.extend(hex_pair(&[*a, *b]));
                rest = after;
            }
            (b'n' | b'r' | b't', _) => {
                decoded.push(b'\n');
                rest = tail;
            }
            _ => {
                decoded.push(*kind);
                rest = tail;
            }
        }
    }
    decoded.extend_from_slice(rest);
    true
}

/// A unit that is no character by itself, half of a pair, is dropped: no secret is made of those.
fn push_unit(unit: u16, decoded: &mut Vec<u8>) {
    if let Some(character) = char::from_u32(u32::from(unit)) {
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The stretches of a text that could hold something encoded, found once for all decoders.
#[derive(Debug)]
pub struct Runs<'a> {
    /// Characters of base64, which base32 and bare hexadecimal are made of as well; each line, and those that go on in
    /// the next put together.
    letters: Vec<Cow<'a, [u8]>>,
    /// Hexadecimal digits and what may stand between them.
    pairs: Vec<Cow<'a, [u8]>>,
}

impl<'a> Runs<'a> {
    /// Finds the runs of a text.
    pub fn new(text: &'a [u8]) -> Self {
        let lines = long_runs(text, &LETTERS, MIN_RUN);
        let wrapped = unwrapped(text, &lines, &LETTERS, MIN_RUN).into_iter();
        let wrapped = wrapped.filter(|run| matches!(run, Cow::Owned(_)));
        let letters = lines.iter().map(|range| Cow::Borrowed(&text[range.clone()])).chain(wrapped).collect();
        let (mut pairs, mut taken): (Vec<Cow<'a, [u8]>>, usize) = (Vec::new(), 0);
        for run in long_runs(text, &PAIRS, MIN_RUN) {
            pairs.push(Cow::Borrowed(&text[run.clone()]));
            // Blanks part pairs too, and are what indented lines begin with: the digits alone go on.
            if run.start < taken || !text[run.end - 1].is_ascii_hexdigit() {
                continue;
            }
            if let (Cow::Owned(whole), end) = with_next_lines(text, run, &HEX, MIN_RUN) {
                pairs.push(Cow::Owned(whole));
                taken = end;
            }
        }
        Self { letters, pairs }
    }

    /// Decodes every base64 run, beginning `shift` characters into it, whichever alphabet it has.
    ///
    /// The results stand in lines. What decodes to bytes that are not text is left out.
    pub fn base64(&self, shift: usize) -> Vec<u8> {
        let (mut decoded, mut bytes) = (Vec::new(), Vec::new());
        let is_joined = |run: &Cow<'_, [u8]>| matches!(run, Cow::Owned(_));
        for part in self.letters.iter().flat_map(|run| alphabets(run, is_joined(run))) {
            if part.len() >= MIN_RUN + shift {
                bits::<6>(&part[shift..], &BASE64, &mut bytes);
                append_text(&bytes, &mut decoded);
            }
        }
        decoded
    }

    /// Decodes every base32 run.
    pub fn base32(&self) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut bytes = Vec::new();
        for run in &self.letters {
            for range in long_runs(run, &BASE32_LETTERS, MIN_RUN) {
                bits::<5>(&run[range], &BASE32, &mut bytes);
                append_text(&bytes, &mut decoded);
            }
        }
        decoded
    }

    /// Decodes every run of hexadecimal pairs, together or with one of the usual separators between them.
    pub fn hex(&self) -> Vec<u8> {
        let mut decoded = Vec::new();
        for run in &self.pairs {
            hex_run(run, &mut decoded);
        }
        decoded
    }
}

/// A slash belongs to one alphabet and parts paths as well, so a run with slashes is read both ways. A path has no end of
/// a line in it: a run that was joined from several lines is read as a whole only.
fn alphabets(run: &[u8], is_joined: bool) -> impl Iterator<Item = &[u8]> {
    let slashes = !is_joined && run.contains(&b'/');
    let parts = run.split(|b| *b == b'/').filter(move |_| slashes);
    std::iter::once(run).chain(parts)
}

fn hex_run(run: &[u8], decoded: &mut Vec<u8>) {
    let mut rest = run;
    while !rest.is_empty() {
        if hex_pair(rest).is_none() {
            rest = &rest[1..];
            continue;
        }
        let mut bytes = Vec::new();
        while let Some(byte) = hex_pair(rest) {
            bytes.push(byte);
            rest = skip_separator(&rest[2..]);
        }
        if bytes.len() >= MIN_HEX_BYTES {
            append_text(&bytes, decoded);
        }
    }
}

/// Stands in a table of values for a byte that has none.
const NONE: u8 = 0xff;

static BASE64: [u8; 256] = values(&[
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
]);
static BASE32: [u8; 256] =
    values(&[b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"abcdefghijklmnopqrstuvwxyz234567"]);
static BASE16: [u8; 256] = values(&[b"0123456789abcdef", b"0123456789ABCDEF"]);

/// Returns what each byte stands for in any of the alphabets.
const fn values(alphabets: &[&[u8]]) -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut which = 0;
    while which < alphabets.len() {
        let mut index = 0;
        let mut value = 0;
        while index < alphabets[which].len() {
            table[alphabets[which][index] as usize] = value;
            index += 1;
            value += 1;
        }
        which += 1;
    }
    table
}

static BASE32_LETTERS: [bool; 256] = class(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567");
static LETTERS: [bool; 256] = class(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_");
static PAIRS: [bool; 256] = class(b"0123456789abcdefABCDEFxX\\:,-_% ");
static HEX: [bool; 256] = class(b"0123456789abcdefABCDEF");
static PRINTABLE: [bool; 256] = text(false);
static TEXT: [bool; 256] = text(true);

/// Decodes one part that is base64 from end to end; nothing when it is not, or gives no text.
pub fn base64_part(part: &[u8]) -> Option<Vec<u8>> {
    let trimmed = part.strip_suffix(b"==").or_else(|| part.strip_suffix(b"=")).unwrap_or(part);
    let whole = trimmed.len() >= 6 && trimmed.iter().all(|b| LETTERS[usize::from(*b)]);
    let mut bytes = Vec::new();
    if whole {
        bits::<6>(trimmed, &BASE64, &mut bytes);
    }
    Some(bytes).filter(|bytes| is_printable(bytes))
}

/// Decodes one part that is hexadecimal from end to end; nothing when it is not, or gives no text.
pub fn hex_part(part: &[u8]) -> Option<Vec<u8>> {
    if part.len() < 8 || !part.len().is_multiple_of(2) {
        return None;
    }
    part.chunks(2).map(hex_pair).collect::<Option<Vec<u8>>>().filter(|bytes| is_printable(bytes))
}

fn skip_separator(rest: &[u8]) -> &[u8] {
    // None of them begins with a pair.
    if hex_pair(rest).is_some() {
        return rest;
    }
    const SEPARATORS: &[&[u8]] =
        &[b"\\x", b"0x", b", 0x", b",0x", b" 0x", b", ", b":", b"-", b" ", b",", b"_", b"%"];
    let skipped = SEPARATORS.iter().filter_map(|separator| rest.strip_prefix(*separator));
    skipped.into_iter().find(|after| hex_pair(after).is_some()).unwrap_or(rest)
}

/// Puts what characters of `WIDTH` bits each stand for in place of what `decoded` holds. All of them are in the table.
fn bits<const WIDTH: usize>(run: &[u8], table: &[u8; 256], decoded: &mut Vec<u8>) {
    decoded.clear();
    decoded.reserve(run.len() * WIDTH / 8 + WIDTH);
    let number = |group: &[u8]| {
        group.iter().fold(0_u64, |sum, digit| sum << WIDTH | u64::from(table[usize::from(*digit)]))
    };
    // Eight characters are `WIDTH` bytes.
    let groups = run.chunks_exact(8);
    let rest = groups.remainder();
    for group in groups {
        decoded.extend_from_slice(&number(group).to_be_bytes()[8 - WIDTH..]);
    }
    let whole = rest.len() * WIDTH / 8;
    let left = number(rest) << (64 - rest.len() * WIDTH).min(63);
    decoded.extend_from_slice(&left.to_be_bytes()[..whole]);
}

/// Adds the stretches of text among decoded bytes, in lines: whatever stands around it, text is looked at.
fn append_text(bytes: &[u8], decoded: &mut Vec<u8>) {
    for range in long_runs(bytes, &TEXT, MIN_TEXT) {
        let stretch = &bytes[range];
        if stretch.is_ascii() || is_utf8(stretch) {
            append_line(stretch, decoded);
        } else {
            let plain = long_runs(stretch, &PRINTABLE, MIN_TEXT);
            plain.into_iter().for_each(|range| append_line(&stretch[range], decoded));
        }
    }
}

fn append_line(text: &[u8], decoded: &mut Vec<u8>) {
    decoded.extend_from_slice(text);
    decoded.push(b'\n');
}

fn is_utf8(bytes: &[u8]) -> bool {
    let valid: usize = bytes.utf8_chunks().map(|chunk| chunk.valid().len()).sum();
    valid * 10 >= bytes.len() * PRINTABLE_TENTHS
}

fn is_printable(bytes: &[u8]) -> bool {
    let printable = bytes.iter().filter(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()).count();
    !bytes.is_empty() && printable * 10 >= bytes.len() * PRINTABLE_TENTHS
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| Some(BASE16[usize::from(byte)]).filter(|digit| *digit != NONE);
    match text {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
