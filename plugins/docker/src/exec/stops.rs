//! Finds in a program's output where it has stopped, however the engine has cut it.

use bottle_guest::container::stop_marker;

/// A piece of the output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// To be shown.
    Shown(Vec<u8>),
    /// The program has stopped here.
    Stop,
}

/// Looks for the word of one execution.
pub(super) struct Stops {
    marker: Vec<u8>,
    /// The end of what was read so far, if the word may begin there.
    held: Vec<u8>,
}

impl Stops {
    pub(super) fn new(token: &str) -> Self {
        Self { marker: stop_marker(token), held: Vec::new() }
    }

    /// Takes more of the output; nothing is its end.
    pub(super) fn pieces(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while let Some(at) = find(&rest, &self.marker) {
            let after = rest.split_off(at + self.marker.len());
            rest.truncate(at);
            pieces.extend([Piece::Shown(rest), Piece::Stop]);
            rest = after;
        }
        if !bytes.is_empty() {
            self.held = rest.split_off(rest.len() - self.begun(&rest));
        }
        pieces.push(Piece::Shown(rest));
        pieces.retain(|piece| !matches!(piece, Piece::Shown(bytes) if bytes.is_empty()));
        pieces
    }

    /// Returns how many bytes at the end may be the word's beginning.
    fn begun(&self, bytes: &[u8]) -> usize {
        (1..self.marker.len()).rev().find(|&length| bytes.ends_with(&self.marker[..length])).unwrap_or(0)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&str], expected: &[Option<&str>]) {
        let mut stops = Stops::new("T");
        let pieces = chunks.iter().chain([&""]).flat_map(|chunk| stops.pieces(chunk.as_bytes()));
        // Neighbours are joined: where it is cut does not matter.
        let mut found: Vec<Option<String>> = Vec::new();
        for piece in pieces {
            match (piece, found.last_mut()) {
                (Piece::Stop, _) => found.push(None),
                (Piece::Shown(bytes), Some(Some(text))) => {
                    text.push_str(std::str::from_utf8(&bytes).unwrap())
                }
                (Piece::Shown(bytes), _) => found.push(Some(String::from_utf8(bytes).unwrap())),
            }
        }
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, expected, "{chunks:?}");
    }

    #[test]
    fn a_stop_is_found_wherever_it_is_cut() {
        let text = "before\x1b_exec.T\x1b\\after";
        for at in 0..=text.len() {
            let (left, right) = text.split_at(at);
            check(&[left, right], &[Some("before"), None, Some("after")]);
        }
        check(&["\x1b_exec.T\x1b\\", "\x1b_exec.T\x1b\\"], &[None, None]);
    }

    #[test]
    fn all_else_is_shown() {
        check(&["\x1b", "[1m"], &[Some("\x1b[1m")]);
        check(&["\x1b_exec.T"], &[Some("\x1b_exec.T")]);
        check(&["\x1b\x1b_exec.", "U\x1b\\"], &[Some("\x1b\x1b_exec.U\x1b\\")]);
    }
}
