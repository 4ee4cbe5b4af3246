//! Which content makes a file a secret. A file is read by positions, so that no offset moves.

use std::os::fd::BorrowedFd;

use super::{Look, keystore};

/// How much of every file is looked at.
const HEAD: usize = 512;
/// How much is read of a file that may be one. A bundle of all certificates there are is a tenth of it.
const MOST: usize = 4 << 20;

/// A file that is open, and how long it is.
#[derive(Clone, Copy)]
pub(in crate::tree) struct File<'a> {
    pub(in crate::tree) fd: BorrowedFd<'a>,
    pub(in crate::tree) size: u64,
}

const ARMOR: &[u8] = b"-----BEGIN ";

/// Returns `true` if a file with a telling name is a secret.
pub(super) fn is_secret(file: File<'_>, look: Look) -> rustix::io::Result<bool> {
    let whole = read(file, MOST)?;
    Ok(match look {
        // What is longer was not seen to its end.
        _ if whole.len() == MOST => true,
        Look::Armor => !contains(&whole, ARMOR) || has_armored_key(&whole),
        Look::Keystore => !keystore::holds_certificates_alone(&whole),
        Look::Settings(words) => {
            words.iter().any(|word| has_value(&whole, word.as_bytes())) || has_password_in_address(&whole)
        }
    })
}

/// Returns `true` if a file of any name is a private key, or is armored text with one in it.
pub(super) fn is_key(file: File<'_>) -> rustix::io::Result<bool> {
    let head = read(file, HEAD)?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    if text.starts_with(b"PuTTY-User-Key-File-") || has_line(text, b"AGE-SECRET-KEY-") {
        return Ok(true);
    }
    if keystore::is_one(&head) {
        return Ok(!keystore::holds_certificates_alone(&read(file, MOST)?));
    }
    if text.starts_with(ARMOR) || text.starts_with(b"Bag Attributes") {
        return Ok(has_armored_key(&read(file, MOST)?));
    }
    if text.starts_with(b"{") && contains(text, b"\"service_account\"") {
        return Ok(has_value(&read(file, MOST)?, b"\"private_key\""));
    }
    Ok(is_der_key(&head, file.size))
}

/// Reads the beginning of a file of this size, at most so many bytes.
fn read(file: File<'_>, most: usize) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; most.min(usize::try_from(file.size).unwrap_or(most))];
    let mut length = 0;
    while length < bytes.len() {
        match rustix::io::pread(file.fd, &mut bytes[length..], length as u64)? {
            // It became shorter meanwhile.
            0 => break,
            n => length += n,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    find(bytes, part).is_some()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn has_line(text: &[u8], begin: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line.starts_with(begin))
}

/// <https://www.rfc-editor.org/rfc/rfc7468>; OpenPGP's secret keys look alike.
fn has_armored_key(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.any(|line| find(line, ARMOR).is_some_and(|at| contains(&line[at..], b"PRIVATE KEY")))
}

/// Returns `true` if one of the words is followed by a value, in any of the forms `w=v`, `w: v`, `"w": "v"`, `<w>v`. A
/// reference to a variable is not a value.
fn has_value(text: &[u8], word: &[u8]) -> bool {
    let is_here = |window: &[u8]| window.eq_ignore_ascii_case(word);
    text.windows(word.len()).enumerate().filter(|(_, window)| is_here(window)).any(|(at, _)| {
        let line = text[at + word.len()..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let value = line.trim_ascii_start();
        let value = value.strip_prefix(b"=").or(value.strip_prefix(b":")).or(value.strip_prefix(b">"));
        let value = value.map(|value| value.trim_ascii_start());
        let value =
            value.map(|value| value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value));
        value.and_then(|value| value.first()).is_some_and(|first| !b"$\"'<{".contains(first))
    })
}

/// Returns `true` if there is an address as in `https://user:password@host`.
fn has_password_in_address(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = find(rest, b"://") {
        rest = &rest[at + 3..];
        let end = rest.iter().position(|byte| byte.is_ascii_whitespace() || b"/\"'<".contains(byte));
        let authority = &rest[..end.unwrap_or(rest.len())];
        let user = authority.iter().rposition(|byte| *byte == b'@').map(|at| &authority[..at]);
        let password = user.and_then(|user| Some(&user[user.iter().position(|byte| *byte == b':')? + 1..]));
        if password.and_then(|password| password.first()).is_some_and(|first| *first != b'$') {
            return true;
        }
    }
    false
}

/// Returns `true` if a file is one DER sequence that begins as a private key does: PKCS #8 and PKCS #1 (version 0), or SEC 1.
/// <https://www.rfc-editor.org/rfc/rfc5958>, <https://www.rfc-editor.org/rfc/rfc8017#appendix-A.1.2>,
/// <https://www.rfc-editor.org/rfc/rfc5915>
fn is_der_key(head: &[u8], length: u64) -> bool {
    let (body, said) = match head {
        [0x30, 0x82, high, low, body @ ..] => (body, 4 + u64::from(u16::from_be_bytes([*high, *low]))),
        [0x30, 0x81, short, body @ ..] => (body, 3 + u64::from(*short)),
        [0x30, short, body @ ..] if *short < 0x80 => (body, 2 + u64::from(*short)),
        _ => return false,
    };
    let is_key =
        matches!(body, [2, 1, 0, 0x30, ..] | [2, 1, 0, 2, ..] | [2, 1, 1, 4, 0x1c | 0x20 | 0x30 | 0x42, ..]);
    said == length && is_key
}
