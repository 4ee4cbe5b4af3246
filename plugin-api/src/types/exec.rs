//! Running a program in a bottle.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ErrorExt, FailureKind, Result, abi};

/// What a host of contract 1.0 leaves to the plug-in: the option by which Claude Code reads an appended system prompt from a file:
/// <https://code.claude.com/docs/en/cli-reference>.
const PROMPT_OPTION: &str = "--append-system-prompt-file";

/// The program whose option that is.
const PROMPTED_PROGRAM: &str = "claude";

/// Why a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExecRole {
    /// It is the agent: [`ExecRequest::command_line`] adds the prompt to its arguments.
    Agent,
    /// It is any program.
    Command,
    /// A role this side does not know; treated as a command.
    #[serde(other)]
    Unknown,
}

/// What to run, and where its streams are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecRequest {
    /// The argument list, program first.
    pub command: Vec<String>,
    /// Why it is run.
    pub role: ExecRole,
    /// Whether it gets a terminal. The host has then put its own into raw mode, and restores it.
    #[serde(default)]
    pub tty: bool,
    /// The value of `TERM` in the bottle, with a terminal.
    #[serde(default)]
    pub term: Option<String>,
    /// More variables of this program alone, such as `COLORTERM` and `TZ`; those of the bottle win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where the prompt is in the bottle, from [`crate::Provisioned::prompt_path`].
    #[serde(default)]
    pub prompt_path: Option<String>,
    /// How the agent is told where its prompt is: words after its program, in which `{path}` is [`Self::prompt_path`]. A host of
    /// contract 1.0 does not say it, and means Claude Code. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_arguments: Option<Vec<String>>,
    /// The descriptors of standard input, output and error in this process.
    pub streams: [RawFd; 3],
    /// A descriptor from which a byte can be read each time the terminal's size has changed.
    #[serde(default)]
    pub resized: Option<RawFd>,
}

impl ExecRequest {
    /// Makes a request on the process's own standard streams, without a terminal.
    pub fn new(command: Vec<String>, role: ExecRole) -> Self {
        Self {
            command,
            role,
            tty: false,
            term: None,
            env: BTreeMap::new(),
            prompt_path: None,
            prompt_arguments: None,
            streams: [0, 1, 2],
            resized: None,
        }
    }

    /// Returns the argument list to run: that of an agent with how it is told its prompt, any other as it is.
    ///
    /// An agent that is told nothing may find its prompt at [`Self::prompt_path`] by itself.
    pub fn command_line(&self) -> Vec<String> {
        let mut command = self.command.clone();
        if let (ExecRole::Agent, Some(path), false) = (self.role, &self.prompt_path, command.is_empty()) {
            command.splice(1..1, self.prompt_words(path));
        }
        command
    }

    fn prompt_words(&self, path: &str) -> Vec<String> {
        if let Some(words) = &self.prompt_arguments {
            return words.iter().map(|word| word.replace("{path}", path)).collect();
        }
        let program = self.command.first().map(Path::new).and_then(Path::file_name);
        match program.is_some_and(|name| name == PROMPTED_PROGRAM) {
            true => vec![PROMPT_OPTION.to_owned(), path.to_owned()],
            false => Vec::new(),
        }
    }

    /// Returns the streams as descriptors of the caller's own.
    ///
    /// # Errors
    /// Fails when one of them is not open.
    pub fn io(&self) -> Result<ExecIo> {
        let [stdin, stdout, stderr] = self.streams;
        Ok(ExecIo {
            stdin: open(stdin)?,
            stdout: open(stdout)?,
            stderr: open(stderr)?,
            resized: self.resized.map(open).transpose()?,
        })
    }
}

/// Duplicates a descriptor that is borrowed for a call.
pub(super) fn open(fd: RawFd) -> Result<OwnedFd> {
    abi::borrow_fd(fd).failure(FailureKind::Invalid, || format!("cannot use descriptor {fd}"))
}

/// The streams of a program that runs in a bottle.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExecIo {
    /// What the program reads.
    pub stdin: OwnedFd,
    /// What it writes.
    pub stdout: OwnedFd,
    /// What it complains to; unused with a terminal.
    pub stderr: OwnedFd,
    /// Readable each time the terminal's size has changed.
    pub resized: Option<OwnedFd>,
}

impl ExecIo {
    /// Returns the terminal's size as columns and rows, when standard output is a terminal.
    pub fn terminal_size(&self) -> Option<(u16, u16)> {
        let size = rustix::termios::tcgetwinsize(self.stdout.as_fd()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExitStatus {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// The limit that ended it, with what raises it: "memory limit of 4 GiB; raise bottles.dev.limits.memory".
    #[serde(default)]
    pub limit: Option<String>,
}

impl ExitStatus {
    /// Makes a status from an exit code.
    pub fn code(code: i32) -> Self {
        Self { code, limit: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &[&str], role: ExecRole, prompt: Option<&str>, expected: &[&str]) {
        let mut request = ExecRequest::new(command.iter().map(|&word| word.to_owned()).collect(), role);
        request.prompt_path = prompt.map(str::to_owned);
        assert_eq!(request.command_line(), expected);
    }

    #[test]
    fn only_the_agent_claude_gets_the_prompt_of_an_older_host() {
        let with = ["claude", "--append-system-prompt-file", "/p", "-x"];
        check(&["claude", "-x"], ExecRole::Agent, Some("/p"), &with);
        let path = ["/usr/bin/claude", "--append-system-prompt-file", "/p"];
        check(&["/usr/bin/claude"], ExecRole::Agent, Some("/p"), &path);
        check(&["claude"], ExecRole::Agent, None, &["claude"]);
        check(&["claude"], ExecRole::Command, Some("/p"), &["claude"]);
        check(&["sh", "claude"], ExecRole::Agent, Some("/p"), &["sh", "claude"]);
        check(&[], ExecRole::Agent, Some("/p"), &[]);
    }

    #[test]
    fn an_agent_is_told_its_prompt_as_the_host_says() {
        let told = |command: &[&str], words: &[&str], role| {
            let mut request = ExecRequest::new(command.iter().map(|&word| word.to_owned()).collect(), role);
            request.prompt_path = Some("/p".to_owned());
            request.prompt_arguments = Some(words.iter().map(|&word| word.to_owned()).collect());
            request.command_line().join(" ")
        };
        let read = ["--read", "{path}"];
        assert_eq!(told(&["aider", "-x"], &read, ExecRole::Agent), "aider --read /p -x");
        assert_eq!(told(&["aider", "-x"], &read, ExecRole::Command), "aider -x");
        assert_eq!(told(&["claude", "-x"], &[], ExecRole::Agent), "claude -x");
        assert_eq!(told(&[], &read, ExecRole::Agent), "");
    }
}
