//! Takes away what makes two texts differ to a machine and not to a reader.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Letters that look like ASCII ones and that compatibility normalisation leaves alone: Cyrillic, Greek, Armenian and
/// a few Latin ones, after <https://www.unicode.org/Public/security/latest/confusables.txt>.
const LOOK_ALIKES: &[(&str, char)] = &[
    ("аɑα", 'a'),
    ("АΑᎪ", 'A'),
    ("ВΒᏴ", 'B'),
    ("сϲⅽ", 'c'),
    ("СϹᏟ", 'C'),
    ("ԁᏧ", 'd'),
    ("Ꭰ", 'D'),
    ("еҽ", 'e'),
    ("ЕΕᎬ", 'E'),
    ("ƒ", 'f'),
    ("Ϝ", 'F'),
    ("ɡց", 'g'),
    ("ԌᏀ", 'G'),
    ("һհᏂ", 'h'),
    ("НΗᎻ", 'H'),
    ("іιıӏ", 'i'),
    ("ІΙӀ", 'I'),
    ("јϳ", 'j'),
    ("ЈͿᎫ", 'J'),
    ("κк", 'k'),
    ("КΚᏦ", 'K'),
    ("ⅼ", 'l'),
    ("Ꮮ", 'L'),
    ("МΜᎷ", 'M'),
    ("ոռ", 'n'),
    ("Ν", 'N'),
    ("оοօσ", 'o'),
    ("ОΟՕ", 'O'),
    ("рρ", 'p'),
    ("РΡᏢ", 'P'),
    ("ԛգ", 'q'),
    ("Ԛ", 'Q'),
    ("г", 'r'),
    ("ᎡᏒ", 'R'),
    ("ѕ", 's'),
    ("ЅՏᏚ", 'S'),
    ("τ", 't'),
    ("ТΤᎢ", 'T'),
    ("υսᴜ", 'u'),
    ("Ս", 'U'),
    ("νѵ", 'v'),
    ("Ѵ", 'V'),
    ("ԝա", 'w'),
    ("ԜᎳ", 'W'),
    ("хχ", 'x'),
    ("ХΧ", 'X'),
    ("уγү", 'y'),
    ("ΥҮ", 'Y'),
    ("ᴢ", 'z'),
    ("ΖᏃ", 'Z'),
    ("‐‑‒–—−", '-'),
    ("ꓸ․", '.'),
    ("∕⁄", '/'),
    ("ǃ", '!'),
    ("ꓽ։", ':'),
];

static ASCII_OF: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    LOOK_ALIKES.iter().flat_map(|(alike, ascii)| alike.chars().map(|c| (c, *ascii))).collect()
});

/// One for a letter or digit.
static KEPT: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() as u8;
        byte += 1;
    }
    table
};

/// Bytes that are asked at once whether they are ASCII.
const BLOCK: usize = 64;

/// Returns where the first byte beyond ASCII is.
pub fn first_beyond_ascii(text: &[u8]) -> Option<usize> {
    let block = text.chunks(BLOCK).position(|block| !block.is_ascii())? * BLOCK;
    text[block..].iter().position(|b| !b.is_ascii()).map(|at| block + at)
}

/// Returns where the last byte beyond ASCII is.
pub fn last_beyond_ascii(text: &[u8]) -> Option<usize> {
    let behind = text.rchunks(BLOCK).position(|block| !block.is_ascii())? * BLOCK;
    text[..text.len() - behind].iter().rposition(|b| !b.is_ascii())
}

/// Returns the text as a reader sees it, in ASCII where it can be; nothing when that changes nothing.
///
/// Compatibility forms (full-width, mathematical, superscript) become plain letters, invisible characters and
/// combining marks go, look-alikes become what they look like.
pub fn fold(text: &[u8]) -> Option<Vec<u8>> {
    let mut folded = Vec::new();
    fold_into(text, &mut folded).then_some(folded)
}

/// Adds what [`fold`] returns, and tells whether it returns anything.
pub fn fold_into(text: &[u8], folded: &mut Vec<u8>) -> bool {
    let before = folded.len();
    folded.reserve(text.len());
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = next_beyond_ascii(text, at) {
        at = next + 1;
        if let Some(character) = first_character(&text[next..]) {
            folded.extend_from_slice(&text[copied..next]);
            fold_one(character, folded);
            at = next + character.len_utf8();
            copied = at;
        }
    }
    folded.extend_from_slice(&text[copied..]);
    let changed = folded[before..] != *text;
    if !changed {
        folded.truncate(before);
    }
    changed
}

/// Returns where the next character beyond ASCII may begin, at `from` or behind: what begins one never stands within another, so that
/// what is no text, such as a packed body, is asked at one byte in twenty.
fn next_beyond_ascii(text: &[u8], from: usize) -> Option<usize> {
    let begins = |at: &usize| text[*at] >= 0xc2 && text[*at + 1] & 0xc0 == 0x80;
    let (mut at, last) = (from, text.len().saturating_sub(1));
    while at < last {
        let end = last.min(at + BLOCK);
        let found = if text[at..end].is_ascii() { None } else { (at..end).find(begins) };
        if found.is_some() {
            return found;
        }
        at = end;
    }
    None
}

fn first_character(bytes: &[u8]) -> Option<char> {
    let first = &bytes[..bytes.len().min(4)];
    let valid = match str::from_utf8(first) {
        Ok(valid) => valid,
        Err(error) => str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid.chars().next()
}

fn fold_one(character: char, folded: &mut Vec<u8>) {
    decompose_compatible(character, |part| {
        if !is_combining_mark(part) && !is_invisible(part) {
            let plain = ASCII_OF.get(&part).copied().unwrap_or(part);
            folded.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
        }
    });
}

/// Returns letters and digits only.
pub fn squeeze(text: &[u8]) -> Vec<u8> {
    let mut bare = Vec::new();
    squeeze_into(text, &mut bare);
    bare
}

/// Puts letters and digits only in place of what `bare` holds.
pub fn squeeze_into(text: &[u8], bare: &mut Vec<u8>) {
    bare.resize(text.len(), 0);
    let mut kept = 0;
    // Every byte is written, and overwritten by the next when it does not count: a branch would be guessed wrong at
    // every other word.
    for byte in text {
        bare[kept] = *byte;
        kept += usize::from(KEPT[usize::from(*byte)]);
    }
    bare.truncate(kept);
}

/// Format characters, fillers, variation selectors and tags: <https://www.unicode.org/reports/tr36/>.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(
            fold(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap()),
            Some(expected.to_owned()),
            "{text:?}"
        );
    }

    #[test]
    fn folds_what_a_reader_would_not_see() {
        check("s\u{200b}e\u{2060}c\u{feff}r\u{ad}e\u{e0041}t", "secret");
        check("ѕесrеt", "secret");
        check("ｓｅｃｒｅｔ", "secret");
        check("𝐬𝐞𝐜𝐫𝐞𝐭", "secret");
        check("s\u{301}e\u{308}cret", "secret");
        check("sécrèt", "secret");
        assert_eq!(fold(b"secret"), None);
        assert_eq!(fold(b"\xff\xfe"), None);
        assert_eq!(fold("漢字".as_bytes()), None);
        assert_eq!(fold(b"\xffe\xcc\x81\xe2\x80"), Some(b"\xffe\xe2\x80".to_vec()));
    }

    #[test]
    fn squeezes() {
        assert_eq!(squeeze(b"s-e_c.r e\tt+1/2"), b"secret12");
    }

    /// Goes through valid text and what is none, character by character.
    fn fold_slowly(text: &[u8]) -> Option<Vec<u8>> {
        let mut folded = Vec::new();
        for piece in text.utf8_chunks() {
            piece.valid().chars().for_each(|character| fold_one(character, &mut folded));
            folded.extend_from_slice(piece.invalid());
        }
        (folded != text).then_some(folded)
    }

    #[test]
    fn folds_text_among_anything_as_the_slow_way_does() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let words = [
            "plain text ",
            "\u{3bf}\u{441}",
            "\u{ff41}",
            "e\u{301}",
            "\u{200b}",
            "\u{1d41a}",
            "\u{e9}",
            "\u{e0020}",
        ];
        for _ in 0..4_000 {
            let mut text = Vec::new();
            for _ in 0..random(30) {
                match random(4) {
                    0 => text.extend((0..random(90)).map(|_| u8::try_from(random(256)).unwrap())),
                    1 => text.extend(
                        (0..random(9)).map(|_| [0x80, 0xbf, 0xc2, 0xe2, 0xed, 0xf0, 0xf4, b'a'][random(8)]),
                    ),
                    _ => text.extend_from_slice(words[random(words.len())].as_bytes()),
                }
                // Cut anywhere.
                text.truncate(text.len() - random(2).min(text.len()));
            }
            assert_eq!(fold(&text), fold_slowly(&text), "{text:x?}");
        }
    }
}
