//! Decoders for the forms a text can hide in. All are total: any input gives some output, never longer than itself
//! by more than a constant.

use memchr::memchr;

/// Characters of a base64 or base32 run, and bytes of a hexadecimal one, below which nothing is decoded.
const MIN_RUN: usize = 16;
const MIN_HEX_BYTES: usize = 8;

/// Rounds of percent-decoding. Each `%25` nested inside another is undone within one round already.
const PERCENT_ROUNDS: usize = 8;

/// Share of printable characters, in tenths, from which a decoded text is looked at.
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
pub(super) fn percent_into(text: &[u8], decoded: &mut Vec<u8>) -> bool {
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
pub(super) fn escapes_into(text: &[u8], decoded: &mut Vec<u8>) -> bool {
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
    /// Characters of base64, which base32 and bare hexadecimal are made of as well.
    letters: Vec<&'a [u8]>,
    /// Hexadecimal digits and what may stand between them.
    pairs: Vec<&'a [u8]>,
}

impl<'a> Runs<'a> {
    /// Finds the runs of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { letters: long_runs(text, &LETTERS), pairs: long_runs(text, &PAIRS) }
    }

    /// Decodes every base64 run, beginning `shift` characters into it, whichever alphabet it has.
    ///
    /// The results stand in lines. What decodes to unprintable bytes was no text and is left out.
    pub fn base64(&self, shift: usize) -> Vec<u8> {
        let mut decoded = Vec::new();
        for part in self.letters.iter().flat_map(|run| alphabets(run)) {
            if part.len() >= MIN_RUN + shift {
                append_printable(&bits(&part[shift..], base64_value, 6), &mut decoded);
            }
        }
        decoded
    }

    /// Decodes every base32 run.
    pub fn base32(&self) -> Vec<u8> {
        let mut decoded = Vec::new();
        let inner = self.letters.iter().flat_map(|run| run.split(|b| base32_value(*b).is_none()));
        for run in inner.filter(|run| run.len() >= MIN_RUN) {
            append_printable(&bits(run, base32_value, 5), &mut decoded);
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

/// A slash belongs to one alphabet and parts paths as well, so a run with slashes is read both ways.
fn alphabets(run: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = run.contains(&b'/');
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
            append_printable(&bytes, decoded);
        }
    }
}

static LETTERS: [bool; 256] = class(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_");
static PAIRS: [bool; 256] = class(b"0123456789abcdefABCDEFxX\\:,-_% ");

const fn class(members: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut index = 0;
    while index < members.len() {
        table[members[index] as usize] = true;
        index += 1;
    }
    table
}

/// Returns the stretches of at least [`MIN_RUN`] bytes that all belong to the class.
///
/// Looks at the byte where a run would have to end first, so that ordinary text is mostly skipped.
fn long_runs<'a>(text: &'a [u8], class: &[bool; 256]) -> Vec<&'a [u8]> {
    let belongs = |index: usize| class[usize::from(text[index])];
    let (mut runs, mut start) = (Vec::new(), 0);
    while start + MIN_RUN <= text.len() {
        let Some(stranger) = (start..start + MIN_RUN).rev().find(|index| !belongs(*index)) else {
            let length = text[start..].iter().take_while(|b| class[usize::from(**b)]).count();
            runs.push(&text[start..start + length]);
            start += length;
            continue;
        };
        start = stranger + 1;
    }
    runs
}

/// Decodes one part that is base64 from end to end; nothing when it is not, or gives no text.
pub fn base64_part(part: &[u8]) -> Option<Vec<u8>> {
    let trimmed = part.strip_suffix(b"==").or_else(|| part.strip_suffix(b"=")).unwrap_or(part);
    let whole = trimmed.len() >= 6 && trimmed.iter().all(|b| base64_value(*b).is_some());
    whole.then(|| bits(trimmed, base64_value, 6)).filter(|bytes| is_printable(bytes))
}

/// Decodes one part that is hexadecimal from end to end; nothing when it is not, or gives no text.
pub fn hex_part(part: &[u8]) -> Option<Vec<u8>> {
    if part.len() < 8 || !part.len().is_multiple_of(2) {
        return None;
    }
    part.chunks(2).map(hex_pair).collect::<Option<Vec<u8>>>().filter(|bytes| is_printable(bytes))
}

fn skip_separator(rest: &[u8]) -> &[u8] {
    const SEPARATORS: &[&[u8]] =
        &[b"\\x", b"0x", b", 0x", b",0x", b" 0x", b", ", b":", b"-", b" ", b",", b"_", b"%"];
    let skipped = SEPARATORS.iter().filter_map(|separator| rest.strip_prefix(*separator));
    skipped.into_iter().find(|after| hex_pair(after).is_some()).unwrap_or(rest)
}

fn bits(run: &[u8], value: impl Fn(u8) -> Option<u8>, width: u32) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(run.len());
    let (mut held, mut count) = (0_u32, 0);
    for digit in run.iter().filter_map(|b| value(*b)) {
        held = (held << width | u32::from(digit)) & 0xffff;
        count += width;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from(held >> count & 0xff).unwrap_or(0));
        }
    }
    decoded
}

fn append_printable(bytes: &[u8], decoded: &mut Vec<u8>) {
    if is_printable(bytes) {
        decoded.extend_from_slice(bytes);
        decoded.push(b'\n');
    }
}

fn is_printable(bytes: &[u8]) -> bool {
    let printable = bytes.iter().filter(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()).count();
    !bytes.is_empty() && printable * 10 >= bytes.len() * PRINTABLE_TENTHS
}

fn base64_value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn base32_value(byte: u8) -> Option<u8> {
    match byte.to_ascii_uppercase() {
        upper @ b'A'..=b'Z' => Some(upper - b'A'),
        digit @ b'2'..=b'7' => Some(digit - b'2' + 26),
        _ => None,
    }
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match text {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_percent_encoding_however_deep() {
        let decoded = |text: &str| percent(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(decoded("a%41b"), Some("aAb".to_owned()));
        assert_eq!(decoded("a%2541b"), Some("aAb".to_owned()));
        assert_eq!(decoded(&format!("a%{}41b", "25".repeat(500))), Some("aAb".to_owned()));
        assert_eq!(decoded("%%34%31"), Some("A".to_owned()));
        assert_eq!(decoded("100% sure %zz"), None);
        assert_eq!(decoded("%4"), None);
    }

    #[test]
    fn undoes_escapes() {
        let decoded = |text: &str| escapes(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(decoded(r"a\u0041\x42\/c\n"), Some("aAB/c\n".to_owned()));
        assert_eq!(decoded(r"\ud800x\u00zz"), Some("x\\u".to_owned()));
        assert_eq!(decoded("plain"), None);
        assert_eq!(decoded("end\\"), Some("end".to_owned()));
    }

    #[test]
    fn decodes_runs() {
        assert_eq!(Runs::new(b"x=aGVsbG8gaGlkZGVuIHdvcmxk&y").base64(0), b"hello hidden world\n");
        assert_eq!(Runs::new(b"ZZaGVsbG8gaGlkZGVuIHdvcmxk").base64(2), b"hello hidden world\n");
        assert_eq!(Runs::new(b"/path/aGVsbG8gaGlkZGVuIHdvcmxk").base64(0), b"hello hidden world\n");
        assert_eq!(Runs::new(b"internationalisation").base64(0), b"");
        assert_eq!(Runs::new(b"NBSWY3DPEBUGSZDEMVXCA53POJWGI===").base32(), b"hello hidden world\n");
        assert_eq!(Runs::new(b"id=68656c6c6f20776f726c64;").hex(), b"hello world\n");
        assert_eq!(Runs::new(b"68:65:6c:6c:6f:20:77:6f:72:6c:64").hex(), b"hello world\n");
        assert_eq!(Runs::new(b"\\x68\\x65\\x6c\\x6c\\x6f\\x20\\x77\\x6f").hex(), b"hello wo\n");
        assert_eq!(Runs::new(b"0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x77, 0x6f").hex(), b"hello wo\n");
        assert_eq!(Runs::new(b"da39a3ee5e6b4b0d3255bfef95601890afd80709").hex(), b"");
    }
}
