//! The offending line with a marker below it, safe to print whatever the file holds.

use std::fmt;

use super::source::{Source, Span};

/// Characters of a line that are shown.
const MAX_WIDTH: usize = 100;
/// Characters kept before the marker when a long line is cut.
const LEAD: usize = 30;

/// A line of a file and the part of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    line: usize,
    text: String,
    /// Characters before the marker.
    before: usize,
    /// Length of the marker.
    width: usize,
}

impl Excerpt {
    /// Cuts the first line of a span out of its file.
    pub(crate) fn new(source: &Source, span: Span) -> Self {
        let line: Vec<char> = source.line(span.start.line).chars().collect();
        let start = (span.start.column - 1).min(line.len());
        let end = if span.end.line > span.start.line { line.len() } else { span.end.column - 1 };
        let end = end.clamp(start, line.len());
        let cut = if line.len() > MAX_WIDTH { start.saturating_sub(LEAD) } else { 0 };
        let shown_end = line.len().min(cut + MAX_WIDTH);
        let mut text: String = line[cut..shown_end].iter().copied().map(printable_character).collect();
        let mut before = start - cut;
        if cut > 0 {
            text.insert(0, '…');
            before += 1;
        }
        if shown_end < line.len() {
            text.push('…');
        }
        Self { line: span.start.line, text, before, width: end.min(shown_end).saturating_sub(start).max(1) }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>5} | {}", self.line, self.text.trim_end())?;
        write!(f, "      | {}{}", " ".repeat(self.before), "^".repeat(self.width))
    }
}

/// Returns text in which nothing can steer a terminal or change the order of what is read.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(printable_character).collect()
}

fn printable_character(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        // Direction marks, embeddings, overrides and isolates, invisible characters:
        // <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>.
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::FileName;
    use super::*;

    fn check(text: &str, span: Span, expected: &str) {
        let name = FileName { path: "f".into(), shown: "f".to_owned() };
        assert_eq!(Excerpt::new(&Source::new(name, text.to_owned()), span).to_string(), expected);
    }

    #[test]
    fn marks_the_span() {
        check("a: 1\nkey: x\n", Span::of_width(2, 1, 3), "    2 | key: x\n      | ^^^");
        check("a: 1\n", Span::of_width(2, 1, 3), "    2 | \n      | ^");
        check("\tk: 1\n", Span::of_width(1, 2, 1), "    1 |  k: 1\n      |  ^");
    }

    #[test]
    fn long_lines_are_cut_around_the_marker() {
        let text = format!("{}MARK{}", "a".repeat(200), "b".repeat(200));
        let name = FileName { path: "f".into(), shown: "f".to_owned() };
        let shown = Excerpt::new(&Source::new(name, text), Span::of_width(1, 201, 4)).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0].chars().count(), 8 + MAX_WIDTH + 2);
        let at = lines[1].find('^').unwrap();
        assert_eq!(lines[0].chars().skip(at).take(4).collect::<String>(), "MARK");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        check(
            "a: \u{1b}[2J\u{202e}x\n",
            Span::of_width(1, 1, 1),
            "    1 | a: \u{fffd}[2J\u{fffd}x\n      | ^",
        );
    }
}
