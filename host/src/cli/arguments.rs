//! The command line as it was typed, and the message for a wrong one.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::environment::no_color;
use crate::error::Exit;
use crate::ui::{Color, Ui};

/// Reads the command line; returns the exit code where it is wrong. Ends the program after a help text or the version.
pub(super) fn read() -> Result<Cli, ExitCode> {
    let mut typed: Vec<OsString> = env::args_os().collect();
    // `help` is the help, also of itself.
    if typed.get(1).is_some_and(|first| first == "help") {
        typed.retain(|word| word != "--help" && word != "-h");
    }
    Cli::try_parse_from(&typed).map_err(|error| refuse(&error, &typed))
}

fn refuse(error: &clap::Error, typed: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let ui = Ui::new(Color::Auto, no_color(), false);
    let message = error.render();
    let message = if ui.color { message.ansi().to_string() } else { message.to_string() };
    ui.text(&in_our_words(&message));
    if is_prompt(error, typed) {
        ui.hint("a prompt goes behind --print: claude-bottle start AGENT --print PROMPT; arguments of the agent's own go after --");
    }
    Exit::Usage.into()
}

/// Returns `true` if a start was given a word that it does not know, which is most likely a prompt.
fn is_prompt(error: &clap::Error, typed: &[OsString]) -> bool {
    let is_start = typed.iter().skip(1).any(|word| word == "start" || word == "run");
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.as_str(),
        _ => return false,
    };
    error.kind() == ErrorKind::UnknownArgument && is_start && !word.starts_with('-')
}

/// Calls advice what every other message calls it.
fn in_our_words(message: &str) -> String {
    let said = |line: &str| match line.starts_with("  ") {
        true => line.replacen("tip:", "hint:", 1),
        false => line.to_owned(),
    };
    message.split_inclusive('\n').map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::in_our_words;

    #[test]
    fn advice_is_a_hint_and_an_argument_stays_as_it_was_typed() {
        let message = "error: unexpected argument 'tip:' found\n\n  \u{1b}[32mtip:\u{1b}[0m to pass 'x'\n";
        let ours = "error: unexpected argument 'tip:' found\n\n  \u{1b}[32mhint:\u{1b}[0m to pass 'x'\n";
        assert_eq!(in_our_words(message), ours);
    }
}
