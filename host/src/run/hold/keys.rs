//! The keys that detach: found in what is typed, and everything else passes on at once.

use std::fmt;
use std::str::FromStr;

/// The keys when `config.yaml` names none: no program of note takes the first.
pub const USUAL: &str = "ctrl-\\,d";
/// More would only be mistyped.
const MOST_KEYS: usize = 4;
const ESCAPE: u8 = 0x1b;

/// A sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    text: String,
    /// For each key the ways in which a terminal may send it.
    keys: Vec<Vec<Vec<u8>>>,
}

impl Default for DetachKeys {
    fn default() -> Self {
        let keys = USUAL.split(',').filter_map(ways).collect();
        Self { text: USUAL.to_owned(), keys }
    }
}

impl FromStr for DetachKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys: Option<Vec<_>> = text.split(',').map(ways).collect();
        let keys = keys.filter(|keys| keys.len() <= MOST_KEYS);
        let first_is_rare = text.starts_with("ctrl-");
        match keys.filter(|_| first_is_rare) {
            Some(keys) => Ok(Self { text: text.to_owned(), keys }),
            None => Err(format!(
                "`{}` are not valid keys: write `ctrl-` and a letter or one of @ [ \\ ] ^ _, then perhaps more keys, as in `ctrl-p,ctrl-q`",
                text.escape_debug()
            )),
        }
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text.replace(',', " "))
    }
}

/// Returns how a key is sent: as a control character, and as programs ask terminals to send it.
/// <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>, <https://invisible-island.net/xterm/modified-keys.html>
fn ways(key: &str) -> Option<Vec<Vec<u8>>> {
    let one = |text: &str| {
        let mut characters = text.chars();
        characters.next().filter(|c| characters.next().is_none() && c.is_ascii_graphic())
    };
    if let Some(character) = key.strip_prefix("ctrl-").and_then(one) {
        let upper = character.to_ascii_uppercase();
        let control = u8::try_from(upper).ok().filter(|byte| (b'@'..=b'_').contains(byte))? & 0x1f;
        let code = u32::from(character.to_ascii_lowercase());
        let sent = [format!("\x1b[{code};5u"), format!("\x1b[27;5;{code}~")];
        return Some([vec![control]].into_iter().chain(sent.map(String::into_bytes)).collect());
    }
    let character = one(key)?;
    let mut ways = vec![character.to_string().into_bytes()];
    ways.push(format!("\x1b[{}u", u32::from(character)).into_bytes());
    Some(ways)
}

/// What is typed, looked through for the keys.
#[derive(Debug)]
pub struct Typed {
    keys: DetachKeys,
    /// What may become the keys.
    pending: Vec<u8>,
}

/// What becomes of bytes that were typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// These are for the program.
    On(Vec<u8>),
    /// The keys were typed, after these.
    Detach(Vec<u8>),
}

enum Match {
    Whole,
    Part,
    No,
}

impl Typed {
    /// Looks for these keys.
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys, pending: Vec::new() }
    }

    /// Takes what was typed.
    pub fn take(&mut self, bytes: &[u8]) -> Passed {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while at < self.pending.len() {
            match matches(&self.keys.keys, &self.pending[at..]) {
                Match::Whole => {
                    let on = self.pending[..at].to_vec();
                    self.pending.clear();
                    return Passed::Detach(on);
                }
                Match::Part => break,
                Match::No => at += 1,
            }
        }
        Passed::On(self.pending.drain(..at).collect())
    }
}

/// Compares the beginning of what was typed with keys.
fn matches(keys: &[Vec<Vec<u8>>], typed: &[u8]) -> Match {
    let Some((key, rest)) = keys.split_first() else { return Match::Whole };
    let mut is_part = typed.is_empty();
    for way in key {
        if let Some(after) = typed.strip_prefix(way.as_slice()) {
            match matches(rest, after) {
                Match::No => {}
                found => return found,
            }
        }
        // The escape key alone is a key of its own, and a program waits for it.
        is_part |= way.starts_with(typed) && typed != [ESCAPE];
    }
    if is_part { Match::Part } else { Match::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str, parts: &[&str]) -> (String, bool) {
        let mut typed = Typed::new(keys.parse().unwrap());
        let mut on = Vec::new();
        for part in parts {
            match typed.take(part.as_bytes()) {
                Passed::On(bytes) => on.extend(bytes),
                Passed::Detach(bytes) => {
                    on.extend(bytes);
                    return (String::from_utf8(on).unwrap(), true);
                }
            }
        }
        (String::from_utf8(on).unwrap(), false)
    }

    #[test]
    fn the_keys_are_found_however_the_terminal_sends_them() {
        for sent in ["\x1cd", "\x1b[92;5ud", "\x1b[27;5;92~d", "\x1b[92;5u\x1b[100u"] {
            assert_eq!(typed(USUAL, &["ab", sent]), ("ab".to_owned(), true), "{sent:?}");
        }
        assert_eq!(typed("ctrl-p,ctrl-q", &["\x10", "\x11"]), (String::new(), true));
        assert_eq!(typed("ctrl-a", &["x\x01"]), ("x".to_owned(), true));
    }

    #[test]
    fn everything_else_passes_on_unchanged() {
        for (parts, on) in [
            (&["\x1c", "x"][..], "\x1cx"),
            (&["\x1c\x1c", "x"], "\x1c\x1cx"),
            (&["\x1b"], "\x1b"),
            (&["\x1b[A"], "\x1b[A"),
            (&["\x1b[92;6u"], "\x1b[92;6u"),
            (&["d"], "d"),
        ] {
            assert_eq!(typed(USUAL, parts), (on.to_owned(), false), "{parts:?}");
        }
        assert_eq!(typed(USUAL, &["\x1c\x1cd"]), ("\x1c".to_owned(), true));
    }

    #[test]
    fn keys_that_one_types_anyway_are_refused() {
        for wrong in ["", "d", "ctrl-", "ctrl-ab", "ctrl-1", "ctrl-a,", "ctrl-a,b,c,d,e", "ctrl-ä"] {
            assert!(wrong.parse::<DetachKeys>().is_err(), "{wrong}");
        }
        assert_eq!(DetachKeys::default(), USUAL.parse().unwrap());
        assert_eq!(DetachKeys::default().to_string(), "ctrl-\\ d");
    }
}
