//! The small parts of the text: numbers, names of commits, persons, messages, quoted paths.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::{CommitsError, Mode};
use crate::results::stream::Place;

/// The longest line: a path in which every byte is quoted.
pub const MOST_LINE: usize = 20 << 10;
/// The largest number of a commit's time.
const MOST_SECONDS: u64 = 1 << 40;

/// Reads a number without a sign or a blank.
pub fn number(digits: &str) -> Option<u64> {
    let is_plain =
        !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok())?
}

/// Reads the number of something earlier, such as `:12`.
pub fn mark(text: &str) -> Option<u64> {
    number(text.strip_prefix(':')?)
}

/// Returns `true` for the whole name of a commit.
pub fn is_name(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads a mode. A repository within a repository is not taken.
pub fn mode(digits: &str) -> Option<Mode> {
    [Mode::Plain, Mode::Executable, Mode::Link].into_iter().find(|mode| mode.digits() == digits)
}

/// Returns `true` for `NAME <ADDRESS> SECONDS ZONE` with nothing in it that a terminal would obey.
pub fn is_person(text: &str) -> bool {
    let Some((name, rest)) = text.split_once('<') else { return false };
    let Some((address, when)) = rest.split_once("> ") else { return false };
    let is_plain = |text: &str| !text.contains(['<', '>']) && !text.chars().any(char::is_control);
    let Some((seconds, zone)) = when.split_once(' ') else { return false };
    let is_zone = zone.len() == 5
        && zone.starts_with(['+', '-'])
        && zone[1..].bytes().all(|byte| byte.is_ascii_digit());
    (name.is_empty() || name.ends_with(' '))
        && is_plain(name)
        && is_plain(address)
        && is_zone
        && number(seconds).is_some_and(|seconds| seconds <= MOST_SECONDS)
}

/// Returns `true` for a message that a terminal shows and does not obey.
pub fn is_message(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

/// Reads a path, quoted as git does or plain, and checks it as those of a result are.
pub fn path(text: &[u8], mode: Option<Mode>) -> Result<PathBuf, CommitsError> {
    let bytes = match text {
        [b'"', inner @ .., b'"'] => unquoted(inner),
        [b'"', ..] | [] => None,
        plain => Some(plain.to_vec()),
    };
    let path = PathBuf::from(OsString::from_vec(bytes.unwrap_or_default()));
    match Place::of(&path, mode == Some(Mode::Link)) {
        Place::Tree(checked) if checked == path && is_relative(&path) => Ok(checked),
        _ => Err(CommitsError::Path(path)),
    }
}

/// Returns `true` for a path that names something below, in one way only.
fn is_relative(path: &std::path::Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    !text.is_empty()
        && text.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
        && !text.contains(&0)
}

/// Takes git's quotes off: <https://git-scm.com/docs/git-config#Documentation/git-config.txt-corequotePath>.
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'"' {
            return None;
        }
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escaped, more) = rest.split_first()?;
        rest = more;
        bytes.push(match escaped {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'"' | b'\\' => *escaped,
            b'0'..=b'3' => {
                let digits = rest.get(..2)?;
                rest = &rest[2..];
                digits.iter().try_fold(escaped - b'0', |value, digit| {
                    matches!(digit, b'0'..=b'7').then(|| value << 3 | (digit - b'0'))
                })?
            }
            _ => return None,
        });
    }
    Some(bytes)
}
