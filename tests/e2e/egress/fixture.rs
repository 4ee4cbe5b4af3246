//! Programs beside the bottles: containers of the agent image in the engine's own network or in the host's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The image that `start` has built.
pub(crate) const IMAGE: &str = "claude-bottle:latest";

/// A container that runs until the test ends. It ends itself when its standard input does.
pub(crate) struct Fixture {
    child: Child,
    lines: Receiver<String>,
}

impl Fixture {
    /// Runs a program as root in the network of the host.
    pub(crate) fn on_the_host(words: &[&str]) -> Self {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--interactive", "--init", "--user", "root", "--network", "host"]);
        command.arg(IMAGE).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        Self { child, lines }
    }

    /// Waits for the next line it says.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(120)).expect("the fixture says something")
    }

    /// Returns the lines up to this one, which it must say.
    #[track_caller]
    pub(crate) fn lines_to(&self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != last) {
            lines.push(self.line());
        }
        lines
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}
