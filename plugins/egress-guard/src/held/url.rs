//! Placeholders in a URL: the value of a key of the query, or a part of the path.

use std::borrow::Cow;
use std::ops::Range;

use zeroize::Zeroizing;

/// One key of a query, with where its value stands in the target.
pub(super) struct Pair<'t> {
    /// The key, its escapes taken off.
    pub(super) key: Cow<'t, [u8]>,
    /// The value, its escapes taken off.
    pub(super) value: Cow<'t, [u8]>,
    /// Where the value is.
    pub(super) at: Range<usize>,
}

/// Returns the keys and values of a target's query.
pub(super) fn pairs(target: &str) -> impl Iterator<Item = Pair<'_>> {
    let start = target.find('?').map_or(target.len(), |mark| mark + 1);
    let query = &target[start..];
    query.split('&').map(move |field| {
        let from = field.as_ptr() as usize - query.as_ptr() as usize + start;
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let end = from + field.len();
        Pair { key: unescaped(key), value: unescaped(value), at: end - value.len()..end }
    })
}

/// Takes escapes off once, as a server does.
fn unescaped(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let (mut plain, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { behind };
    }
    Cow::Owned(plain)
}

/// Returns where a placeholder stands between two parts of a target's path.
pub(super) fn in_path(
    target: &str,
    (before, behind): (&str, &str),
    placeholder: &str,
) -> Option<Range<usize>> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let rest = path.strip_prefix(before)?.strip_prefix(placeholder)?;
    let fits = if behind.is_empty() { rest.is_empty() } else { rest.starts_with(behind) };
    fits.then(|| before.len()..before.len() + placeholder.len())
}

/// Returns the target with a secret in place of these bytes, what a URL would not carry plainly escaped.
pub(super) fn fill(target: &str, at: &Range<usize>, secret: &str) -> Zeroizing<String> {
    let mut filled = Zeroizing::new(String::with_capacity(target.len() + 3 * secret.len()));
    filled.push_str(&target[..at.start]);
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            filled.push(char::from(byte));
        } else {
            let digit =
                |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
            filled.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    filled.push_str(&target[at.end..]);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: &str = "placeholder-for-TOKEN";

    #[test]
    fn keys_and_values_are_read_without_their_escapes() {
        let target = format!("/a?x=1&k%65y={HOLDER}&key=placeholder%2Dfor-TOKEN&flag&&=y&%2541=%4");
        let read: Vec<_> = pairs(&target)
            .map(|pair| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(&pair.key), text(&pair.value), target[pair.at].to_owned())
            })
            .collect();
        let expected = [
            ("x", "1", "1"),
            ("key", HOLDER, HOLDER),
            ("key", HOLDER, "placeholder%2Dfor-TOKEN"),
            ("flag", "", ""),
            ("", "", ""),
            ("", "y", "y"),
            ("%41", "%4", "%4"),
        ];
        assert_eq!(
            read,
            expected.map(|(key, value, raw)| (key.to_owned(), value.to_owned(), raw.to_owned()))
        );
        assert_eq!(pairs("/a").count(), 1);
    }

    #[test]
    fn a_part_of_a_path_is_found_between_its_neighbours() {
        let check = |target: &str, parts, expected: Option<&str>| {
            let filled = in_path(target, parts, HOLDER).map(|at| fill(target, &at, "1:a/b").to_string());
            assert_eq!(filled.as_deref(), expected, "{target}");
        };
        let bot = ("/bot", "/");
        check(&format!("/bot{HOLDER}/send?x=1"), bot, Some("/bot1%3Aa%2Fb/send?x=1"));
        check(&format!("/hooks/{HOLDER}?x"), ("/hooks/", ""), Some("/hooks/1%3Aa%2Fb?x"));
        check(&format!("/bot{HOLDER}"), bot, None);
        check(&format!("/bot{HOLDER}x/"), bot, None);
        check(&format!("/botx{HOLDER}/"), bot, None);
        check(&format!("/x/bot{HOLDER}/"), bot, None);
        check(&format!("/x?/bot{HOLDER}/"), bot, None);
        check(&format!("/hooks/{HOLDER}/x"), ("/hooks/", ""), None);
    }
}
