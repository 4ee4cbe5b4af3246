//! All that is printed, and all questions. Nothing else in the host writes to standard output or error.
//!
//! Standard output is data; standard error is everything else. Text that comes from elsewhere (an engine, a
//! manifest, an agent's egress log) is cleaned of control characters first, so that it cannot drive the terminal.

pub mod ask;
pub mod interrupt;
pub mod output;
pub mod pager;
pub mod progress;
pub mod screen;
pub mod streams;
pub mod suspend;
pub mod terminal;
pub mod watched;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use crate::error::CliError;
use crate::results::escape::is_hidden;

pub use ask::Answer;

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    // Plain comments: a value with a help text of its own would turn each help into its long form.
    // On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// The colours of labels: each reads on a dark background and on a light one, which yellow and cyan do not.
pub const WARNING: &str = "1;35";
const ERROR: &str = "1;31";
const HINT: &str = "1;34";

/// The user's terminal.
#[derive(Debug, Clone)]
pub struct Ui {
    pub(crate) color: bool,
    quiet: bool,
    /// Whether more is said than what decides.
    pub verbose: bool,
    /// Whether standard error is a terminal.
    pub stderr_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_terminal: bool,
    /// Whether data for people has colour.
    pub data_color: bool,
    /// Whether a question can be asked: standard input and error are terminals.
    pub interactive: bool,
    /// Why standard output takes no more.
    lost: Arc<OnceLock<io::Error>>,
}

impl Ui {
    /// Looks at the standard streams.
    pub fn new(color: Color, no_color: bool, quiet: bool) -> Self {
        let (stderr_terminal, stdout_terminal) = (io::stderr().is_terminal(), io::stdout().is_terminal());
        let colored = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        let (color, data_color) = (colored(stderr_terminal), colored(stdout_terminal));
        let interactive = stderr_terminal && io::stdin().is_terminal();
        Self {
            color,
            quiet,
            verbose: false,
            stderr_terminal,
            stdout_terminal,
            data_color,
            interactive,
            lost: Arc::default(),
        }
    }

    /// Writes data to standard output, with a line end. What fails is told by [`Self::output_error`] at the end.
    pub fn data(&self, text: &str) {
        if let Err(error) = output::write(&line(text)) {
            tracing::debug!(%error, "write to standard output");
            // The first failure is the one to tell.
            self.lost.set(error).ok();
        }
    }

    /// Writes a document as indented JSON to standard output.
    pub fn json(&self, document: &impl serde::Serialize) -> anyhow::Result<()> {
        self.data(&clean_json(&serde_json::to_string_pretty(document)?));
        Ok(())
    }

    /// Returns whether standard output still takes data.
    pub fn can_write(&self) -> bool {
        self.lost.get().is_none()
    }

    /// Returns why data was lost, unless its reader has simply seen enough.
    pub fn output_error(&self) -> Option<&io::Error> {
        self.lost.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// Says why no question can be asked.
    pub fn cannot_ask(&self) -> &'static str {
        if io::stdin().is_terminal() {
            "cannot ask: standard error is not a terminal"
        } else {
            "cannot ask: standard input is not a terminal"
        }
    }

    /// Returns whether passing remarks are left out.
    pub fn is_quiet(&self) -> bool {
        self.quiet
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
        if write_line(io::stderr().lock(), text).is_err() {
            tracing::debug!("standard error is closed");
        }
    }

    /// Warns.
    pub fn warning(&self, text: &str) {
        self.text(&format!("{}: {}", self.paint(WARNING, "warning"), clean(text)));
    }

    /// Gives advice.
    pub fn hint(&self, text: &str) {
        self.text(&format!("{}: {}", self.paint(HINT, "hint"), clean(text)));
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
                let _ = write!(text, "{gap}\n{}: {}", self.paint(HINT, "hint"), clean(hint));
                seen.push(hint);
            }
        }
        text
    }

    fn one_error(&self, label: &str, error: &anyhow::Error) -> String {
        let mut text = format!("{}: {}", self.paint(ERROR, label), clean(&error.to_string()));
        for cause in error.chain().skip(1) {
            let _ = write!(text, "\n  caused by: {}", clean(&cause.to_string()));
        }
        text
    }

    /// Wraps text in a colour, when there is colour.
    pub fn paint<'a>(&self, code: &str, text: &'a str) -> Cow<'a, str> {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}

fn line(text: &str) -> Vec<u8> {
    let mut line = text.as_bytes().to_owned();
    if !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    line
}

fn write_line(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(&line(text))?;
    stream.flush()
}

/// Writes to standard output while it is where the system put it; what everybody else calls is [`output::write`].
pub(crate) fn write_to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Replaces control characters other than line ends and tabs, so that foreign text cannot drive the terminal, and
/// those that cannot be seen or turn the direction of writing, so that it cannot pass for other text
/// (<https://trojansource.codes>).
pub fn clean(text: &str) -> Cow<'_, str> {
    escape(text, |c| c.escape_unicode().collect())
}

/// Replaces the same characters in JSON text, by JSON's own escapes.
pub fn clean_json(text: &str) -> Cow<'_, str> {
    let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    escape(text, escaped)
}

fn escape(text: &str, escaped: impl Fn(char) -> String) -> Cow<'_, str> {
    let harmless = |c: char| !is_hidden(c);
    if text.chars().all(harmless) {
        return text.into();
    }
    text.chars().map(|c| if harmless(c) { c.to_string() } else { escaped(c) }).collect()
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
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\nd\u{202e}"), "a\\u{1b}[2Jb\\u{9b}c\nd\\u{202e}");
        assert_eq!(clean("a\u{200b}b\u{e0041}"), "a\\u{200b}b\\u{e0041}");
        let text = clean_json("\"a\u{200b}\u{e0041}\"").into_owned();
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "a\u{200b}\u{e0041}", "{text}");
    }

    #[test]
    fn json_stays_json_without_control_characters() {
        let value = serde_json::json!({ "a": "\u{7f}\u{9b}\u{1b}\u{2066}" });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let cleaned = clean_json(&text);
        assert_eq!(cleaned, "{\n  \"a\": \"\\u007f\\u009b\\u001b\\u2066\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&cleaned).unwrap(), value);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "b".to_owned()], ["ccc\x07".to_owned(), String::new()]];
        assert_eq!(columns(["X", "NAME"], &rows), "X         NAME\na         b\nccc\\u{7}");
    }

    #[test]
    fn an_error_shows_causes_what_else_failed_and_each_hint_once() {
        let ui = Ui::new(Color::Never, true, false);
        let inner = CliError::new(crate::error::Exit::Failed, "remove network").hint("run cleanup");
        let error = CliError::from(anyhow::anyhow!("refused").context("cannot create network"))
            .hint("run cleanup")
            .also(inner);
        let expected = "error: cannot create network\n  caused by: refused\nalso failed: remove network\n\nhint: run cleanup";
        assert_eq!(ui.describe(&error), expected);
    }
}
