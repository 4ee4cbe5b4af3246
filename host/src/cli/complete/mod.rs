//! The hidden command `complete`: what fits where the cursor is, one candidate a line, for the completions of the shells.
//!
//! It answers from the command line's definition, the manifest, the names of files and the records on the disk. It loads no
//! plug-in and asks no engine, and it is silent about what goes wrong: the user has not asked for anything yet.

mod values;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap_complete::Shell;
use clap_complete::engine::{CompletionCandidate, complete};

use super::App;
use super::man::shown;
use values::Asked;

/// The exit code that asks the shell for names of files.
const FILES: u8 = 3;

const BASH: &str = include_str!("claude-bottle.bash");
const ZSH: &str = include_str!("claude-bottle.zsh");
const FISH: &str = include_str!("claude-bottle.fish");

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command line up to the cursor, beginning with the program's name; the last word is the one that is typed
    #[arg(last = true, value_name = "WORDS")]
    words: Vec<OsString>,
}

pub(super) fn run(app: &App, args: &Args, definition: &clap::Command) -> ExitCode {
    let Some(index) = args.words.len().checked_sub(1) else { return ExitCode::SUCCESS };
    let asked = Arc::new(Asked::new(app, &args.words));
    let mut command = values::attached(shown(definition), &asked);
    let found = complete(&mut command, args.words.clone(), index, None).unwrap_or_default();
    if found.iter().any(|candidate| values::wants_files(candidate, &asked)) {
        return FILES.into();
    }
    let typed = asked.current();
    let lines: Vec<_> = chosen(&found, typed.is_empty()).filter_map(|found| line(found, typed)).collect();
    if !lines.is_empty() {
        app.ui.data(&lines.join("\n"));
    }
    ExitCode::SUCCESS
}

/// Returns the script of a shell that asks this command.
pub(super) fn script(shell: Shell) -> Option<&'static str> {
    match shell {
        Shell::Bash => Some(BASH),
        Shell::Zsh => Some(ZSH),
        Shell::Fish => Some(FISH),
        _ => None,
    }
}

/// Leaves options out where nothing is typed yet and something else fits.
fn chosen(found: &[CompletionCandidate], is_empty: bool) -> impl Iterator<Item = &CompletionCandidate> {
    let is_option =
        |candidate: &&CompletionCandidate| candidate.get_value().to_string_lossy().starts_with('-');
    let leaves_out = is_empty && !found.iter().all(|candidate| is_option(&candidate));
    found.iter().filter(move |candidate| !(leaves_out && is_option(candidate)))
}

/// Returns the candidate and what it is, with a tab in between. A value that a shell would read otherwise than it stands
/// there is left out: some are names of files that an agent made.
fn line(candidate: &CompletionCandidate, typed: &str) -> Option<String> {
    // Of a command's names the engine keeps the first of the alphabet, and has the command's own in its mark.
    let own = candidate.get_id().and_then(|id| id.strip_prefix("command::"));
    let own = own.filter(|name| name.starts_with(typed));
    let value = own.or_else(|| candidate.get_value().to_str())?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if value.is_empty() || !value.chars().all(is_plain) {
        return None;
    }
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.lines().next().unwrap_or_default().replace('\t', " ");
    Some(format!("{value}\t{help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_run_or_expand_is_no_candidate() {
        let line = |value: &str| line(&CompletionCandidate::new(value), "");
        assert_eq!(line("--backend=docker").as_deref(), Some("--backend=docker\t"));
        for hostile in ["$(id)", "a b", "a;b", "`id`", "a\nb", "*", "~", "!!", "a'b", ""] {
            assert_eq!(line(hostile), None, "{hostile}");
        }
    }
}
