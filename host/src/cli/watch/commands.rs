//! What keys run: this program's own commands, in the background with what they say, or with the terminal.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::cli::App;
use crate::ui::clean;

/// The commands that were started.
pub(super) struct Commands {
    exe: PathBuf,
    no_project: bool,
    sender: Sender<String>,
    receiver: Receiver<String>,
}

impl Commands {
    pub(super) fn new(app: &App) -> Self {
        let (sender, receiver) = channel();
        Self { exe: app.invocation.exe.clone(), no_project: app.no_project, sender, receiver }
    }

    /// Returns what a command has said that ended since the last call.
    pub(super) fn said(&self) -> Option<String> {
        self.receiver.try_iter().last()
    }

    /// Starts a command whose last words are told when it ends.
    pub(super) fn start(&self, words: Vec<String>) {
        let (mut command, sender) = (self.command(&words), self.sender.clone());
        let run = move || {
            let output = command.stdin(Stdio::null()).output();
            let said = match output {
                Ok(output) => telling(&String::from_utf8_lossy(&output.stderr)),
                Err(error) => format!("cannot run `{}`: {error}", words.join(" ")),
            };
            // The view may be gone.
            sender.send(said).ok();
        };
        if let Err(error) = std::thread::Builder::new().name("command".to_owned()).spawn(run) {
            self.sender.send(format!("cannot run it: {error}")).ok();
        }
    }

    /// Runs a command with the terminal, and returns what is to be said of its end.
    pub(super) fn run(&self, words: &[String]) -> String {
        match self.command(words).status() {
            Ok(status) if status.success() => String::new(),
            Ok(status) => format!("`{}` ended with {}", words.join(" "), status.code().unwrap_or(-1)),
            Err(error) => format!("cannot run `{}`: {error}", words.join(" ")),
        }
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(self.no_project.then_some("--no-project")).args(words);
        command
    }
}

/// Returns the line that matters of what a command said: its error, else its last.
fn telling(said: &str) -> String {
    let lines = || said.lines().filter(|line| !line.trim().is_empty());
    let line = lines().find(|line| line.starts_with("error")).or_else(|| lines().next_back());
    clean(line.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_told_and_else_the_last_line() {
        for (said, told) in [
            ("", ""),
            ("warning: x\ndev may reach a.test\n\n", "dev may reach a.test"),
            ("error: no\n  caused by: y\n\nhint: z\n", "error: no"),
            ("\x1b[2Jx", "\\u{1b}[2Jx"),
        ] {
            assert_eq!(telling(said), told);
        }
    }
}
