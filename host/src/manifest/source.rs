//! A manifest file's text and places in it. Nothing here reads a disk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a text: line and column, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A stretch of text; the end is the first position after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Position,
    pub(crate) end: Position,
}

impl Span {
    /// Returns the span of `width` characters that starts at line and column.
    pub(crate) fn of_width(line: usize, column: usize, width: usize) -> Self {
        Self { start: Position { line, column }, end: Position { line, column: column + width } }
    }
}

/// What a file is called: its path, and the short form people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) path: PathBuf,
    pub(crate) shown: String,
}

/// One manifest file, read whole.
#[derive(Debug)]
pub(crate) struct Source {
    name: Arc<FileName>,
    text: String,
    line_starts: Vec<usize>,
    /// Stretches that are never shown: values of environment variables.
    masks: Vec<Span>,
}

impl Source {
    /// Takes a file's text over.
    pub(crate) fn new(name: FileName, text: String) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { name: Arc::new(name), text, line_starts, masks: Vec::new() }
    }

    pub(crate) fn name(&self) -> &FileName {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Says which stretches no excerpt shows.
    pub(crate) fn set_masks(&mut self, masks: Vec<Span>) {
        self.masks = masks;
    }

    /// Returns the lines as they are, without their breaks.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        (1..=self.line_starts.len()).map(|number| self.plain_line(number))
    }

    /// Returns a line as it is, without its break; empty past the end.
    pub(crate) fn plain_line(&self, number: usize) -> &str {
        let Some(start) = number.checked_sub(1).and_then(|index| self.line_starts.get(index)) else {
            return "";
        };
        let end = self.line_starts.get(number).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    /// Returns a line as excerpts show it, with masked characters starred.
    pub(crate) fn line(&self, number: usize) -> String {
        let line = self.plain_line(number);
        let mut shown: Vec<char> = line.chars().collect();
        for span in self.masks.iter().filter(|span| span.start.line <= number && number <= span.end.line) {
            let start = if span.start.line == number { span.start.column - 1 } else { 0 };
            let end = if span.end.line == number { span.end.column - 1 } else { shown.len() };
            if let Some(hidden) = shown.get_mut(start..end) {
                hidden.fill('*');
            }
        }
        shown.into_iter().collect()
    }

    /// Returns the character at a position, if there is one.
    pub(crate) fn character(&self, at: Position) -> Option<char> {
        self.plain_line(at.line).chars().nth(at.column.checked_sub(1)?)
    }

    /// Returns where a span begins, for people.
    pub(crate) fn origin(&self, span: Span) -> Origin {
        Origin { file: Arc::clone(&self.name), line: span.start.line, column: span.start.column }
    }
}

/// Where an entry of the manifest was written, or the variable of the environment that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    file: Arc<FileName>,
    line: usize,
    column: usize,
}

impl Origin {
    /// Makes that of what a variable of the environment has, and no file.
    pub(crate) fn of_variable(name: &str) -> Self {
        Self { file: Arc::new(FileName { path: PathBuf::new(), shown: name.to_owned() }), line: 0, column: 0 }
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Returns the line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Returns the column in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

/// Writes the file's short name and the line, `~/claude-bottle.yaml:12`, or the variable's name.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file.shown),
            line => write!(f, "{}:{line}", self.file.shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_masked() {
        let name = FileName { path: "/x/claude-bottle.yaml".into(), shown: "claude-bottle.yaml".to_owned() };
        let mut source = Source::new(name, "a: é1\r\nbb: secret # c\n".to_owned());
        assert_eq!(source.line(1), "a: é1");
        assert_eq!(source.line(2), "bb: secret # c");
        assert_eq!(source.line(3), "");
        assert_eq!(source.line(9), "");
        source.set_masks(vec![Span::of_width(2, 5, 6)]);
        assert_eq!(source.line(2), "bb: ****** # c");
        assert_eq!(source.character(Position { line: 1, column: 4 }), Some('é'));
    }
}
