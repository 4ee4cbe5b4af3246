//! A bottle that lives while something is measured in it: its agent is a script that reads lines and writes lines.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::Context;

use crate::home::Home;

/// The agent of every home with such a bottle.
pub(crate) const AGENT: &str = "bench";

/// A live bottle; it ends with the value.
pub(crate) struct Live {
    child: Child,
    /// Closed before the end is waited for.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Live {
    /// Starts the home's agent on a backend, and waits for its first line.
    pub(crate) fn start(home: &Home, backend: &str, more: &[&str]) -> anyhow::Result<Self> {
        let start = ["--quiet", "start", AGENT, "--yes", "--backend", backend];
        let mut command = home.command(&[&start, more].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("start a bottle on {backend}"))?;
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().context("it has an output")?).lines();
        let mut live = Self { child, stdin, lines };
        live.line().with_context(|| format!("start a bottle on {backend}"))?;
        Ok(live)
    }

    /// Says a line to the script.
    pub(crate) fn say(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.stdin.as_mut().context("it listens")?, "{line}")?)
    }

    /// Waits for the script's next line.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        self.lines.next().context("the bottle has ended")?.context("read what the bottle says")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.child.wait().ok();
    }
}
