//! Text of an agent's on a terminal: readable, and unable to drive it or to pass for other text.
//!
//! Nothing is dropped, since what is left out is hidden; what a terminal would act on is shown as an escape.

use std::fmt::Write as _;

/// The longest line that is shown whole, in bytes.
const LONGEST: usize = 4 * 1024;

/// Reverse video, and its end.
const REVERSE: (&str, &str) = ("\x1b[7m", "\x1b[27m");

/// Returns `true` if a character has no place of its own on a terminal, or moves others: controls, the marks that turn the
/// direction of writing, and characters without a width.
pub fn is_hidden(c: char) -> bool {
    is_control(c) || is_invisible(c)
}

fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Returns one line, without its end, as it can be shown; `reverse` is for a terminal.
pub fn line(bytes: &[u8], reverse: bool) -> String {
    let (on, off) = if reverse { REVERSE } else { ("", "") };
    let mut shown = String::with_capacity(bytes.len());
    let escaped = |shown: &mut String, text: &str| {
        shown.push_str(on);
        shown.push_str(text);
        shown.push_str(off);
    };
    let mut left = LONGEST;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let Some(rest) = left.checked_sub(c.len_utf8()) else { return cut(shown, bytes, on, off) };
            left = rest;
            if is_hidden(c) || c == '\n' {
                escaped(&mut shown, &c.escape_default().to_string());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            let Some(rest) = left.checked_sub(1) else { return cut(shown, bytes, on, off) };
            left = rest;
            escaped(&mut shown, &format!("\\x{byte:02x}"));
        }
    }
    shown
}

fn cut(mut shown: String, bytes: &[u8], on: &str, off: &str) -> String {
    // Writing to a String cannot fail.
    let _ = write!(shown, "{on}… line of {} bytes, cut{off}", bytes.len());
    shown
}

/// Returns a path as git shows it: in quotes with escapes as in C if something in it is not plain.
pub fn name(path: &[u8]) -> String {
    let quoted = quoted(path);
    let is_plain = quoted.len() == path.len();
    let text = String::from_utf8_lossy(&quoted).into_owned();
    if is_plain { text } else { format!("\"{text}\"") }
}

/// Returns the bytes of a path with escapes as in C, without quotes around them.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len());
    let octal = |text: &mut Vec<u8>, byte: u8| text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut bytes = [0; 4];
            match c {
                '"' | '\\' => text.extend_from_slice(&[b'\\', c as u8]),
                '\n' => text.extend_from_slice(b"\\n"),
                '\t' => text.extend_from_slice(b"\\t"),
                '\r' => text.extend_from_slice(b"\\r"),
                c if is_hidden(c) => {
                    c.encode_utf8(&mut bytes).bytes().for_each(|byte| octal(&mut text, byte))
                }
                c => text.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes()),
            }
        }
        chunk.invalid().iter().for_each(|byte| octal(&mut text, *byte));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_an_agent_cannot_drive_the_terminal() {
        for (bytes, shown) in [
            (&b"plain \ttext \xc3\xa9"[..], "plain \ttext é"),
            (b"\x1b]52;c;aGk=\x07", "\\u{1b}]52;c;aGk=\\u{7}"),
            (b"\x1bPq\x9b1m", "\\u{1b}Pq\\x9b1m"),
            (b"\xc2\x9b2J", "\\u{9b}2J"),
            ("a\u{202e}b\u{200b}c\u{feff}d\u{e0041}".as_bytes(), "a\\u{202e}b\\u{200b}c\\u{feff}d\\u{e0041}"),
            (b"end\r", "end\\r"),
            (b"\xff\xfe", "\\xff\\xfe"),
        ] {
            assert_eq!(line(bytes, false), shown);
        }
        assert_eq!(line(b"a\x1bb", true), "a\x1b[7m\\u{1b}\x1b[27mb");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let shown = line(&vec![b'x'; 100_000], false);
        assert!(shown.len() < 5_000 && shown.ends_with("… line of 100000 bytes, cut"), "{}", shown.len());
        assert_eq!(line("é".repeat(2048).as_bytes(), false).len(), 4096);
        assert!(line(&vec![0xff; 5_000], false).ends_with("cut"));
    }

    #[test]
    fn names_are_quoted_as_git_does() {
        for (path, shown) in [
            (&b"src/main.rs"[..], "src/main.rs"),
            ("über/ß".as_bytes(), "über/ß"),
            (b"a\nb", "\"a\\nb\""),
            (b"q\"\\", "\"q\\\"\\\\\""),
            (b"\x1b[2J", "\"\\033[2J\""),
            (b"\xff", "\"\\377\""),
            ("x\u{202e}gpj".as_bytes(), "\"x\\342\\200\\256gpj\""),
        ] {
            assert_eq!(name(path), shown);
        }
    }
}
