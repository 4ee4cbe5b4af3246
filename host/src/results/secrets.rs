//! Looks for credentials in what comes out of a bottle, while the values of its secrets are still in memory.
//!
//! Invariant: what is found is told by the name of the secret or the rule, and by its line; never by a byte of it.

use claude_bottle_egress_policy::GuardSecrets;
use secret_scan::rules::{self, RuleSet};
use secret_scan::secrets::SecretSet;
use secret_scan::{ScanError, views};

/// The largest file that is looked through, in bytes.
pub const MOST_BYTES: u64 = 8 << 20;

/// How much is looked at in one go.
const PIECE: usize = 64 * 1024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of the secret or of the rule, as a user reads it.
    pub what: String,
    /// The line, from 1; absent in what has no lines.
    pub line: Option<usize>,
}

/// Everything that is looked for.
pub struct Search {
    /// The bottle's own secrets.
    secrets: SecretSet,
    rules: &'static RuleSet,
    readings: views::Spare,
    bare: Vec<u8>,
}

impl Search {
    /// Prepares a search; without values of secrets the rules alone are looked for.
    pub fn new(secrets: Option<&GuardSecrets>) -> Result<Self, ScanError> {
        let none = GuardSecrets::default();
        let secrets = SecretSet::new(secrets.unwrap_or(&none))?;
        Ok(Self { secrets, rules: rules::builtin()?, readings: views::Spare::default(), bare: Vec::new() })
    }

    /// Looks at a name or a link's target: for the bottle's own secrets alone.
    pub fn word(&mut self, bytes: &[u8]) -> Option<Found> {
        self.look(bytes, false).map(|what| Found { what, line: None })
    }

    /// Looks at what is not text, for the bottle's own secrets alone.
    pub fn binary(&mut self, bytes: &[u8]) -> Option<Found> {
        let overlap = self.overlap();
        let mut start = 0;
        while start < bytes.len() {
            let end = bytes.len().min(start + PIECE + overlap);
            if let Some(what) = self.look(&bytes[start..end], false) {
                return Some(Found { what, line: None });
            }
            start += PIECE;
        }
        None
    }

    /// Looks at lines of text, each with its number: what several lines make up is found too.
    pub fn lines<'a>(&mut self, lines: impl Iterator<Item = (usize, &'a [u8])>) -> Option<Found> {
        let overlap = self.overlap();
        let (mut piece, mut starts): (Vec<u8>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
        for (number, line) in lines {
            starts.push((piece.len(), number));
            piece.extend_from_slice(line);
            // One line may be longer than a piece.
            while piece.len() >= PIECE + overlap {
                let end = PIECE + overlap;
                if let Some(found) = self.piece(&piece[..end], &starts) {
                    return Some(found);
                }
                piece.drain(..PIECE);
                let first = starts.iter().rposition(|(start, _)| *start <= PIECE).unwrap_or(0);
                starts.drain(..first);
                starts.iter_mut().for_each(|(start, _)| *start = start.saturating_sub(PIECE));
            }
        }
        self.piece(&piece, &starts)
    }

    /// Looks at one piece; only when something is in it, for its line.
    fn piece(&mut self, piece: &[u8], starts: &[(usize, usize)]) -> Option<Found> {
        let what = self.look(piece, true)?;
        let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([piece.len()]);
        let lines: Vec<_> = starts.iter().zip(ends).collect();
        for ((start, number), end) in lines {
            let line = &piece[(*start).min(piece.len())..end.min(piece.len())];
            if let Some(what) = self.look(line, true) {
                return Some(Found { what, line: Some(*number) });
            }
        }
        Some(Found { what, line: starts.first().map(|(_, number)| *number) })
    }

    /// Returns how far two pieces overlap, so that no secret falls between them.
    fn overlap(&self) -> usize {
        self.secrets.longest().clamp(4 * 1024, 64 * 1024)
    }

    fn look(&mut self, bytes: &[u8], with_rules: bool) -> Option<String> {
        let Self { secrets, rules, readings, bare } = self;
        let mut found = None;
        let whole = views::each(bytes, readings, &mut |view| {
            if let Some(name) = secrets.find(view, bare, |_| false) {
                found = Some(format!("the secret `{name}`"));
            } else if with_rules && let Some(rule) = rules.find_in(view, |_| true) {
                found = Some(format!("what fits the rule `{rule}`"));
            }
            found.is_none()
        });
        found.or_else(|| (!whole).then(|| "text with too many encodings to look through".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "s3cr3t-Value_0123456789+/x";

    fn search() -> Search {
        let json = serde_json::json!([{ "name": "TOKEN", "value": VALUE }]).to_string();
        Search::new(Some(&GuardSecrets::from_json(&json).unwrap())).unwrap()
    }

    fn in_text(text: &str) -> Option<(String, Option<usize>)> {
        let lines = text.split_inclusive('\n').enumerate().map(|(at, line)| (at + 1, line.as_bytes()));
        search().lines(lines).map(|found| (found.what, found.line))
    }

    #[test]
    fn a_secret_is_found_raw_encoded_and_over_lines_and_told_by_its_name() {
        let token = |line| Some(("the secret `TOKEN`".to_owned(), Some(line)));
        assert_eq!(in_text(&format!("a\nb = {VALUE}\nc\n")), token(2));
        assert_eq!(in_text("a\n\nczNjcjN0LVZhbHVlXzAxMjM0NTY3ODkrL3g=\n"), token(3));
        assert_eq!(in_text(&format!("a\n{}\n{}\n", &VALUE[..14], &VALUE[14..])), token(1));
        let far = format!("{}{VALUE}\n", "some words\n".repeat(20_000));
        assert_eq!(in_text(&far), token(20_001));
        let long_line = format!("first\n{}{VALUE}\n", "x ".repeat(100_000));
        assert_eq!(in_text(&long_line), token(2));
        assert_eq!(in_text("an ordinary text\n"), None);
    }

    #[test]
    fn what_has_the_form_of_a_credential_is_found_in_text() {
        let found = in_text(&format!("x\nkey: ghp_{}\n", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")).unwrap();
        assert_eq!(found.1, Some(2));
        assert!(found.0.contains("github"), "{found:?}");
    }

    #[test]
    fn names_and_binaries_are_searched_for_the_own_secrets() {
        let name = format!("src/{VALUE}.txt");
        assert_eq!(search().word(name.as_bytes()).unwrap().what, "the secret `TOKEN`");
        let mut binary = vec![0; PIECE - 5];
        binary.extend_from_slice(VALUE.as_bytes());
        assert!(search().binary(&binary).is_some());
        assert_eq!(search().binary(&[0, 1, 2]), None);
    }
}
