//! Running a program in a bottle.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::{ErrorExt, FailureKind, Result, abi};

/// Why a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExecRole {
    /// It is the agent: the backend adds the prompt to its arguments.
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
    /// Where the prompt is in the bottle, from [`crate::Provisioned::prompt_path`].
    #[serde(default)]
    pub prompt_path: Option<String>,
    /// The descriptors of standard input, output and error in this process.
    pub streams: [RawFd; 3],
    /// A descriptor from which a byte can be read each time the terminal's size has changed.
    #[serde(default)]
    pub resized: Option<RawFd>,
}

impl ExecRequest {
    /// Makes a request on the process's own standard streams, without a terminal.
    pub fn new(command: Vec<String>, role: ExecRole) -> Self {
        Self { command, role, tty: false, term: None, prompt_path: None, streams: [0, 1, 2], resized: None }
    }

    /// Returns the streams as descriptors of the caller's own.
    ///
    /// # Errors
    /// Fails when one of them is not open.
    pub fn io(&self) -> Result<ExecIo> {
        let open =
            |fd: RawFd| abi::borrow_fd(fd).failure(FailureKind::Invalid, || format!("use descriptor {fd}"));
        let [stdin, stdout, stderr] = self.streams;
        Ok(ExecIo {
            stdin: open(stdin)?,
            stdout: open(stdout)?,
            stderr: open(stderr)?,
            resized: self.resized.map(open).transpose()?,
        })
    }
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
