//! pipelock's lines without the paths and queries of its URLs, before they are in a file of the host.
//!
//! It writes whole URLs, also those in which it found a credential. The guard's lines have none, and stay as they are.

use serde_json::Value;

/// What a line of pipelock's has in it, and how far from its beginning.
const MARK: (&[u8], usize) = (br#""component":"pipelock""#, 64);
/// What stands for the rest of a URL.
const REST: &str = "/…";

/// Lines that come in pieces.
#[derive(Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

/// Lines that are complete.
pub(super) struct Complete {
    /// Their length before masking.
    pub(super) said: u64,
    /// What is kept of them.
    pub(super) kept: Vec<u8>,
}

impl Lines {
    /// Takes a piece, and returns the lines that are complete by it.
    pub(super) fn take(&mut self, piece: &[u8]) -> Complete {
        self.begun.extend_from_slice(piece);
        let end = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let begun = self.begun.split_off(end);
        let lines = std::mem::replace(&mut self.begun, begun);
        Complete { said: lines.len() as u64, kept: masked(&lines) }
    }
}

/// Returns text of a sidecar's with every line as it is kept.
pub(super) fn masked(text: &[u8]) -> Vec<u8> {
    text.split_inclusive(|byte| *byte == b'\n').flat_map(line).collect()
}

fn line(line: &[u8]) -> Vec<u8> {
    let (mark, within) = MARK;
    if !line[..line.len().min(within)].windows(mark.len()).any(|piece| piece == mark) {
        return line.to_vec();
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(mut value) => {
            mask(&mut value);
            let end = if line.ends_with(b"\n") { "\n" } else { "" };
            format!("{value}{end}").into_bytes()
        }
        // One that was cut off. Where its URL ends cannot be told.
        Err(_) => without_paths(&String::from_utf8_lossy(line), |_| false).into_bytes(),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_paths(text, |char| char == '"' || char.is_whitespace()),
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(keys) => keys.values_mut().for_each(mask),
        _ => {}
    }
}

/// Leaves of each URL in a text what comes before its path; it goes on to a character that ends it.
fn without_paths(mut text: &str, ends: impl Fn(char) -> bool) -> String {
    let mut kept = String::new();
    while let Some(at) = text.find("://") {
        let (scheme, rest) = text.split_at(at + 3);
        let host = rest.find(|char| "/?#".contains(char) || ends(char)).unwrap_or(rest.len());
        let end = rest[host..].find(&ends).map_or(rest.len(), |at| host + at);
        kept.extend([scheme, &rest[..host], if host < end { REST } else { "" }]);
        text = &rest[end..];
    }
    kept + text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipelock(fields: &str) -> String {
        format!("{{\"component\":\"pipelock\",{fields}}}\n")
    }

    #[test]
    fn a_url_is_kept_up_to_its_path() {
        let check = |fields: &str, expected: &str| {
            let kept = String::from_utf8(masked(pipelock(fields).as_bytes())).unwrap();
            assert_eq!(kept, pipelock(expected));
        };
        check(r#""url":"http://a.test:81/p?t=ghp_x""#, r#""url":"http://a.test:81/…""#);
        check(r#""url":"http://a.test?t=ghp_x#f""#, r#""url":"http://a.test/…""#);
        check(r#""url":"http://a.test""#, r#""url":"http://a.test""#);
        check(r#""target":"a.test:443","total_bytes":7"#, r#""target":"a.test:443","total_bytes":7"#);
        check(
            r#""error":"Get \"http://a.test/p?q=r\": dial tcp: refused""#,
            r#""error":"Get \"http://a.test/…\": dial tcp: refused""#,
        );
        check(
            r#""original_url":"http://a.test/1","redirect_url":"http://b.test/?x=http://c.test/y""#,
            r#""original_url":"http://a.test/…","redirect_url":"http://b.test/…""#,
        );
    }

    #[test]
    fn other_lines_stay_and_one_that_was_cut_off_ends_at_its_host() {
        let guard = "{\"host\":\"a.test\",\"reason\":\"see http://b.test/c\"}\npanic: http://b.test/c\n";
        assert_eq!(masked(guard.as_bytes()), guard.as_bytes());
        let cut = br#"{"component":"pipelock","url":"http://a.test/p?t=gh"#;
        assert_eq!(
            String::from_utf8(masked(cut)).unwrap(),
            r#"{"component":"pipelock","url":"http://a.test/…"#
        );
    }

    #[test]
    fn pieces_are_kept_until_their_line_is_complete() {
        let (mut lines, text) = (Lines::default(), pipelock(r#""url":"http://a.test/p?q""#));
        let (first, second) = text.split_at(40);
        let taken = lines.take(first.as_bytes());
        assert_eq!((taken.said, taken.kept.len()), (0, 0));
        let taken = lines.take(second.as_bytes());
        assert_eq!(taken.said, text.len() as u64);
        assert_eq!(taken.kept, masked(text.as_bytes()));
    }
}
