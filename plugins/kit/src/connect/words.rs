//! What the program in the bottle says of its connection: a line each on its standard error.

use super::flow::{End, Got};

/// The most that is kept of a line, or of what is not a word.
const MOST: usize = 4096;

/// What was said so far. It comes from a bottle: each word counts once, and nothing of it is believed but about its connection.
#[derive(Default)]
pub(super) struct Words {
    from: Option<End>,
    line: Vec<u8>,
    /// The port has taken the connection.
    pub(super) joined: bool,
    /// Why it has not.
    pub(super) refused: Option<String>,
    /// After how many bytes the server has ended.
    pub(super) ended: Option<u64>,
    /// The rest of its output.
    pub(super) other: String,
}

impl Words {
    /// Reads them here.
    pub(super) fn from(end: End) -> Self {
        Self { from: Some(end), ..Self::default() }
    }

    /// Returns where they come from, until all were said.
    pub(super) fn source(&self) -> Option<&End> {
        self.from.as_ref()
    }

    /// Takes what is there.
    pub(super) fn listen(&mut self, buffer: &mut [u8]) {
        let Some(from) = &self.from else { return };
        match from.read(buffer) {
            Got::Bytes(length) => self.hear(&buffer[..length]),
            Got::Nothing => {}
            Got::End | Got::Broken => {
                self.from = None;
                self.hear(b"\n");
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.take(&String::from_utf8_lossy(&line));
            } else if self.line.len() < MOST {
                self.line.push(*byte);
            }
        }
    }

    fn take(&mut self, line: &str) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("joined", "") => self.joined |= self.refused.is_none(),
            ("refused", reason) if !self.joined => {
                self.refused.get_or_insert_with(|| reason.to_owned());
            }
            ("ended", count) if self.joined && self.ended.is_none() => self.ended = count.parse().ok(),
            _ if self.other.len() + line.len() < MOST => self.other.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&str]) -> Words {
        let mut words = Words::default();
        pieces.iter().for_each(|piece| words.hear(piece.as_bytes()));
        words
    }

    #[test]
    fn words_are_heard_however_they_are_cut() {
        let text = "joined\nended 12\n";
        for at in 0..=text.len() {
            let words = heard(&[&text[..at], &text[at..]]);
            assert_eq!((words.joined, words.ended, words.refused.as_deref()), (true, Some(12), None), "{at}");
        }
        let words = heard(&["refused Connection refused (os error 111)\n"]);
        assert_eq!(words.refused.as_deref(), Some("Connection refused (os error 111)"));
    }

    #[test]
    fn each_word_counts_once_and_in_its_place() {
        let words = heard(&["ended 1\njoined\nended 2\nended 3\nrefused x\nended -1\n"]);
        assert_eq!((words.joined, words.ended, words.refused), (true, Some(2), None));
        let words = heard(&["refused x\njoined\nrefused y\n"]);
        assert_eq!((words.joined, words.refused.as_deref()), (false, Some("x")));
        assert_eq!(heard(&["joined\nended x\n"]).ended, None);
    }

    #[test]
    fn what_is_said_without_end_takes_no_memory() {
        let mut words = heard(&["bottle-guest: no\n"]);
        (0..1000).for_each(|_| words.hear(&[b'x'; 1000]));
        (0..1000).for_each(|_| words.hear(b"noise\n"));
        assert!(words.line.len() <= MOST && words.other.len() <= MOST);
        assert!(words.other.starts_with("bottle-guest: no\n"));
    }
}
