//! All that is printed, and all questions. Nothing else in the host writes to standard output or error.
//!
//! Standard output is data; standard error is everything else. Text that comes from elsewhere (an engine, a
//! manifest, an agent's egress log) is cleaned of control characters first, so that it cannot drive the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};

use zeroize::Zeroizing;

use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::terminal::Hidden;

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The answer to a yes-or-no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `y` or `yes`.
    Yes,
    /// Anything else.
    No,
}

/// The user's terminal.
#[derive(Debug, Clone)]
pub struct Ui {
    color: bool,
    quiet: bool,
    /// Whether standard error is a terminal.
    pub stderr_terminal: bool,
    /// Whether a question can be asked: standard input and error are terminals.
    pub interactive: bool,
}

impl Ui {
    /// Looks at the standard streams.
    pub fn new(color: Color, no_color: bool, quiet: bool) -> Self {
        let stderr_terminal = io::stderr().is_terminal();
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stderr_terminal && !no_color,
        };
        Self { color, quiet, stderr_terminal, interactive: stderr_terminal && io::stdin().is_terminal() }
    }

    /// Writes data to standard output, with a line end.
    pub fn data(&self, text: &str) {
        write_all(io::stdout().lock(), text);
    }

    /// Writes a document as indented JSON to standard output.
    pub fn json(&self, document: &impl serde::Serialize) -> anyhow::Result<()> {
        self.data(&serde_json::to_string_pretty(document)?);
        Ok(())
    }

    /// Says something in passing.
    pub fn status(&self, text: &str) {
        self.say(&clean(text));
    }

    /// Says something in passing: text made by us from cleaned parts.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.text(text);
        }
    }

    /// Writes text to standard error as it is: text made by us from cleaned parts.
    pub fn text(&self, text: &str) {
        write_all(io::stderr().lock(), text);
    }

    /// Warns.
    pub fn warning(&self, text: &str) {
        self.text(&format!("{}: {}", self.paint("1;33", "warning"), clean(text)));
    }

    /// Gives advice.
    pub fn hint(&self, text: &str) {
        self.text(&format!("{}: {}", self.paint("1;36", "hint"), clean(text)));
    }

    /// Reports a failed command: the error, its causes, what else failed, and advice.
    pub fn error(&self, failed: &CliError) {
        self.text(&self.describe(failed));
    }

    fn describe(&self, failed: &CliError) -> String {
        let mut text = self.one_error("error", &failed.error);
        if let Some(details) = &failed.details {
            let _ = write!(text, "\n\n{}", clean(details));
        }
        for other in &failed.others {
            text.push('\n');
            text.push_str(&self.one_error("also failed", other));
        }
        let mut seen = Vec::new();
        for hint in failed.hints.iter().filter(|hint| !hint.is_empty()) {
            if !seen.contains(&hint) {
                // Writing to a String cannot fail.
                let gap = if seen.is_empty() { "\n" } else { "" };
                let _ = write!(text, "{gap}\n{}: {}", self.paint("1;36", "hint"), clean(hint));
                seen.push(hint);
            }
        }
        text
    }

    fn one_error(&self, label: &str, error: &anyhow::Error) -> String {
        let mut text = format!("{}: {}", self.paint("1;31", label), clean(&error.to_string()));
        for cause in error.chain().skip(1) {
            let _ = write!(text, "\n  caused by: {}", clean(&cause.to_string()));
        }
        text
    }

    /// Asks a yes-or-no question; anything but yes is no, and `None` is an interrupt.
    pub fn ask(&self, question: &str, interrupt: &Interrupt) -> io::Result<Option<Answer>> {
        let mut stderr = io::stderr().lock();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        if !interrupt.wait_for_input(io::stdin())? {
            writeln!(stderr)?;
            return Ok(None);
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(Some(match line.trim_end_matches(['\n', '\r']) {
            "y" | "Y" | "yes" | "YES" => Answer::Yes,
            _ => Answer::No,
        }))
    }

    /// Asks for a secret on the terminal, without echo; `None` is an interrupt.
    pub fn ask_secret(
        &self,
        question: &str,
        interrupt: &Interrupt,
    ) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut stderr = io::stderr().lock();
        write!(stderr, "{}: ", clean(question))?;
        stderr.flush()?;
        let hidden = Hidden::enter()?;
        let answer = if interrupt.wait_for_input(io::stdin())? {
            let mut line = Zeroizing::new(Vec::with_capacity(4096));
            io::stdin().lock().read_until(b'\n', &mut line)?;
            while matches!(line.last(), Some(b'\n' | b'\r')) {
                line.pop();
            }
            Some(line)
        } else {
            None
        };
        drop(hidden);
        writeln!(stderr)?;
        Ok(answer)
    }

    /// Wraps text in a colour, when there is colour.
    pub fn paint<'a>(&self, code: &str, text: &'a str) -> Cow<'a, str> {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}

/// Writes a line; a reader that went away ends the output, not the program.
fn write_all(mut stream: impl Write, text: &str) {
    let mut line = text.to_owned();
    if !line.ends_with('\n') {
        line.push('\n');
    }
    if stream.write_all(line.as_bytes()).and_then(|()| stream.flush()).is_err() {
        tracing::debug!("the reader of the output went away");
    }
}

/// Replaces control characters other than line ends and tabs, so that foreign text cannot drive the terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return text.into();
    }
    text.chars().flat_map(|c| if harmless(c) { vec![c] } else { c.escape_unicode().collect() }).collect()
}

/// Formats rows as aligned columns under upper-case heads.
pub fn columns<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let clean_row = |row: &[String; N]| row.each_ref().map(|cell| clean(cell).replace(['\n', '\t'], " "));
    let rows: Vec<[String; N]> =
        std::iter::once(heads.map(str::to_owned)).chain(rows.iter().map(clean_row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let format_row = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(format_row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\nd"), "a\\u{1b}[2Jb\\u{9b}c\nd");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "b".to_owned()], ["ccc\x07".to_owned(), String::new()]];
        assert_eq!(columns(["X", "NAME"], &rows), "X         NAME\na         b\nccc\\u{7}");
    }

    #[test]
    fn an_error_shows_causes_what_else_failed_and_each_hint_once() {
        let ui = Ui { color: false, quiet: false, stderr_terminal: false, interactive: false };
        let inner = CliError::new(crate::error::Exit::Failed, "remove network").hint("run cleanup");
        let error = CliError::from(anyhow::anyhow!("refused").context("create network"))
            .hint("run cleanup")
            .also(inner);
        let expected =
            "error: create network\n  caused by: refused\nalso failed: remove network\n\nhint: run cleanup";
        assert_eq!(ui.describe(&error), expected);
    }
}
