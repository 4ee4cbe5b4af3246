//! A run of the program that the test holds in its hand: where it is, what it says, how it is ended.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::support::home::Home;
use crate::support::process::Process;

/// How long anything is waited for, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call of the program that has not ended.
pub(crate) struct Run {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
}

/// The lines of a stream, as they come; the pipe is read to its end whether anybody looks or not.
struct Lines {
    lines: Receiver<String>,
    seen: String,
}

impl Run {
    /// Starts a command; its standard input stays open until [`Self::end`].
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = Lines::follow(child.stdout.take().unwrap());
        let stderr = Lines::follow(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    /// Starts an agent that stays at a step, and waits until it is there.
    pub(crate) fn hung(home: &Home, agent: &str, step: &str) -> Self {
        Self::hung_with(home, agent, step, &[])
    }

    /// Does the same with more arguments.
    pub(crate) fn hung_with(home: &Home, agent: &str, step: &str, more: &[&str]) -> Self {
        let mut command = home.command(&[&["start", agent, "--yes"], more].concat());
        command.env("CLAUDE_BOTTLE_FAULT", format!("hang:{step}")).env("CLAUDE_BOTTLE_LOG", "plugin=debug");
        let mut run = Self::start(&mut command);
        run.stderr.wait_for(&["staying at the step", step]);
        run
    }

    /// Starts a command that stops itself at a step, and waits until it has.
    pub(crate) fn paused(command: &mut Command, step: &str) -> Self {
        let mut run = Self::start(command.env("CLAUDE_BOTTLE_FAULT", format!("pause:{step}")));
        // A program that reads its input has nothing to wait for.
        drop(run.stdin.take());
        let waited = waitpid(Some(run.pid()), WaitOptions::UNTRACED).unwrap().unwrap().1;
        assert!(waited.stopped(), "it ended before `{step}`: {waited:?}");
        run
    }

    /// Waits for a line with this text on standard output.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.stdout.wait_for(&[text]);
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Returns the run's id, from its record.
    pub(crate) fn id(&self, home: &Home) -> String {
        let pid = self.child.id();
        let is_ours =
            |id: &String| home.record_so_far(id).is_some_and(|record| record["owner"]["pid"] == pid);
        home.runs().into_iter().find(is_ours).unwrap()
    }

    /// Ends standard input, and goes on.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes standard input and waits for the end.
    pub(crate) fn end(mut self) -> Output {
        drop(self.stdin.take());
        self.end_by_itself()
    }

    /// Waits for the end, and leaves standard input open.
    pub(crate) fn end_by_itself(mut self) -> Output {
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let status = self.child.wait().unwrap();
        Output { status, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
    }
}

/// A test that fails leaves no program behind.
impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                // Nobody looks any more when the test is over.
                sender.send(String::from_utf8_lossy(&line.unwrap()).into_owned()).ok();
            }
        });
        Self { lines, seen: String::new() }
    }

    #[track_caller]
    fn wait_for(&mut self, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(line) = line else { panic!("waited for {words:?}, and got:\n{}", self.seen) };
            self.seen += &format!("{line}\n");
            if words.iter().all(|word| line.contains(word)) {
                return;
            }
        }
    }

    #[track_caller]
    fn all(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen += &format!("{line}\n"),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return std::mem::take(&mut self.seen);
                }
                Err(timeout) => panic!("{timeout}, and got:\n{}", self.seen),
            }
        }
    }
}

/// Finds the processes that watch the runs of a home, or one of them.
pub(crate) fn reapers(home: &Home, run: Option<&str>) -> Vec<Process> {
    let runs = run.map_or_else(|| home.runs(), |run| vec![run.to_owned()]);
    runs.iter().flat_map(|id| Process::with_arguments(&["reap", id])).collect()
}
