//! The chain of a decision log: each line carries its number and the hash of the line before it.
//!
//! A line that was changed, cut out, moved or added breaks the chain at a place that can be named. The chain alone does not
//! protect its last line: its [`Head`] is kept elsewhere, in the record of the run.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The hash of a line, or of another text.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct LineHash([u8; 32]);

/// How far a chain has come: the number of its last line, and that line's hash.
///
/// The default is the beginning, before any line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last line; the first has 1.
    pub line: u64,
    /// The hash of the last line, without its line feed.
    pub hash: LineHash,
}

/// What a line says of its place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The line's number.
    pub line: u64,
    /// The hash of the line before it.
    pub before: LineHash,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Break {
    /// The line is not what it was when the next one was written, or when the end was recorded.
    Changed {
        /// Its number; 0 when it is the beginning that differs.
        line: u64,
    },
    /// Lines that were there are not.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A line whose number was there before: it was moved or added.
    Moved {
        /// Its number.
        line: u64,
    },
    /// A line without a place in the chain: half a line of a write that was cut off, or added.
    Foreign,
    /// Lines that came after the end was recorded.
    Added {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// What is written down of lines that are in no file any more is not what was recorded.
    Dropped,
}

impl LineHash {
    /// Returns the hash of a text.
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        // One spelling, or a hash could be changed without being another.
        let is_plain = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        for (at, byte) in bytes.iter_mut().enumerate().filter(|_| is_plain) {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        is_plain.then_some(Self(bytes))
    }
}

impl Head {
    /// Returns a record with its place in the chain, as the line that follows this head.
    ///
    /// The record is a JSON object that is not empty.
    pub fn stamp(&self, record: &[u8]) -> Vec<u8> {
        let object = record.strip_suffix(b"}").unwrap_or(record);
        let link = format!(",\"line\":{},\"before\":\"{}\"}}\n", self.line + 1, self.hash);
        [object, link.as_bytes()].concat()
    }

    /// Returns the head behind a line that was written.
    #[must_use]
    pub fn after(&self, line: &[u8]) -> Self {
        Self { line: self.line + 1, hash: LineHash::of(without_line_feed(line)) }
    }

    /// Returns the head behind the last line of a text that has a place in a chain; `None` when no line has.
    pub fn last(text: &[u8]) -> Option<Self> {
        let mut lines = text.rsplit(|byte| *byte == b'\n');
        lines.find_map(|line| Some(Self { line: Link::read(line)?.line, hash: LineHash::of(line) }))
    }

    /// Takes the next line of a log, and says what is wrong with its place.
    pub fn follow(&mut self, line: &[u8]) -> Result<(), Break> {
        let line = without_line_feed(line);
        let link = Link::read(line).ok_or(Break::Foreign)?;
        let before = *self;
        if link.line <= before.line {
            return Err(Break::Moved { line: link.line });
        }
        *self = Self { line: link.line, hash: LineHash::of(line) };
        if link.line > before.line + 1 {
            return Err(Break::Missing { from: before.line + 1, to: link.line - 1 });
        }
        if link.before == before.hash { Ok(()) } else { Err(Break::Changed { line: before.line }) }
    }

    /// Says whether a log that has come to here ends where it was recorded to.
    pub fn ends_at(&self, recorded: &Self) -> Result<(), Break> {
        match self.line.cmp(&recorded.line) {
            std::cmp::Ordering::Less => Err(Break::Missing { from: self.line + 1, to: recorded.line }),
            std::cmp::Ordering::Greater => Err(Break::Added { from: recorded.line + 1, to: self.line }),
            std::cmp::Ordering::Equal if self.hash == recorded.hash => Ok(()),
            std::cmp::Ordering::Equal => Err(Break::Changed { line: self.line }),
        }
    }
}

impl Link {
    /// Reads the place of a line; `None` when it has none.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |from: u64, to: u64| match from == to {
            true => format!("line {from}"),
            false => format!("lines {from} to {to}"),
        };
        match *self {
            Self::Changed { line: 0 } => f.write_str("the log does not begin where it began"),
            Self::Changed { line } => write!(f, "line {line} was changed"),
            Self::Missing { from, to } => write!(f, "cut out: {}", lines(from, to)),
            Self::Moved { line } => write!(f, "line {line} is out of its place: moved, or added"),
            Self::Foreign => f.write_str("not a line of the guard's: added, or half of one"),
            Self::Dropped => {
                f.write_str("the count of the older lines, which the log no longer has, was changed")
            }
            Self::Added { from, to } => write!(f, "added after the end of the run: {}", lines(from, to)),
        }
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LineHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LineHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SHA-256 hash in lower case"))
    }
}

fn without_line_feed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
