//! Commands of the manifest that make a bottle ready before its agent runs: in the bottle, as the agent's user, under its policy and its
//! limits. One that fails ends the start, and nothing of it is left.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{
    Bottle, Event, EventState, ExecRequest, ExecRole, ExitStatus, Failure, FailureKind, Result,
};

use crate::error::{CliError, CliResult, Exit};
use crate::manifest::SetupStep;
use crate::run::backend::{Backend, Verb};
use crate::run::surroundings;
use crate::ui::clean;
use crate::ui::interrupt::Interrupt;

/// How much of a command's last output is told when it failed, in bytes.
const MOST_TOLD: usize = 16 * 1024;
/// Longest line that is kept; the rest of one is a line of its own.
const MOST_LINE: u64 = 4 * 1024;
/// How often an interrupt and the time are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What is to be run, and where it is said.
pub struct Setup<'a> {
    /// The commands, in their order.
    pub steps: &'a [SetupStep],
    /// Says to the user how one went.
    pub say: &'a dyn Fn(&str),
}

impl Setup<'_> {
    /// Runs all of it.
    ///
    /// # Errors
    /// Fails on the first command that fails and is not optional.
    pub fn run(&self, backend: &Backend, bottle: &Bottle) -> CliResult {
        for (number, step) in self.steps.iter().enumerate() {
            let (began, shown) = (Instant::now(), clean(&step.shown).into_owned());
            let name = format!("setup-{}", number + 1);
            let event = |state| Event::new(&name, state).message(format!("setup: {shown}"));
            backend.progress().event(&event(EventState::Started));
            let (ended, said) = run_step(backend, bottle, step, &name);
            let reason = match ended {
                Ok(ExitStatus { code: 0, .. }) => None,
                Ok(status) => Some(said_of(&status)),
                Err(failure) if failure.kind == FailureKind::Cancelled && backend.interrupt().triggered() => {
                    return Err(failure.into());
                }
                Err(failure) if failure.kind == FailureKind::Cancelled => {
                    Some(format!("was ended after its time of {} s", step.timeout.as_secs()))
                }
                Err(failure) => return Err(failure.into()),
            };
            backend.progress().event(&event(EventState::Finished));
            let took = began.elapsed().as_secs_f64();
            match reason {
                None => (self.say)(&format!("setup: {shown}: done in {took:.1} s")),
                Some(reason) if step.optional => {
                    (self.say)(&format!("setup: {shown}: {reason} after {took:.1} s; it is optional"));
                }
                Some(reason) => return Err(failed(step, &reason, said)),
            }
        }
        Ok(())
    }
}

fn said_of(status: &ExitStatus) -> String {
    match &status.limit {
        Some(limit) => format!("ended with {} by the {limit}", status.code),
        None => format!("ended with {}", status.code),
    }
}

fn failed(step: &SetupStep, reason: &str, said: String) -> CliError {
    let message = format!("{}: the setup `{}` {reason}", step.origin, clean(&step.shown));
    let mut error = CliError::new(Exit::Start, message)
        .hint("if the agent can do without it, mark it: { run: …, optional: true }");
    error.details = (!said.is_empty()).then_some(said);
    error
}

/// Runs one command to its end, and returns the last of what it printed.
fn run_step(
    backend: &Backend,
    bottle: &Bottle,
    step: &SetupStep,
    name: &str,
) -> (Result<ExitStatus>, String) {
    match begin(backend, name) {
        Err(error) => {
            let failure = Failure::new(FailureKind::Internal, "cannot prepare a command's streams");
            (Err(failure.caused_by(&error)), String::new())
        }
        Ok((nothing, writer, reading)) => {
            let mut request = ExecRequest::new(step.command.clone(), ExecRole::Command);
            request.env = surroundings::variables(false);
            request.streams = [nothing.as_raw_fd(), writer.as_raw_fd(), writer.as_raw_fd()];
            let ended = within(backend, step.timeout, bottle, request);
            if ended.as_ref().is_err_and(|failure| failure.kind == FailureKind::Timeout) {
                // A verb that was given up may still write there: the numbers must not become other files'.
                std::mem::forget((writer, nothing));
                return (ended, String::new());
            }
            drop(writer);
            (ended, reading.join().unwrap_or_default())
        }
    }
}

type Streams = (File, io::PipeWriter, JoinHandle<String>);

/// Opens the streams of a command, and reads what it prints.
fn begin(backend: &Backend, name: &str) -> io::Result<Streams> {
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    let (reader, writer) = io::pipe()?;
    let (progress, name) = (backend.shared_progress(), name.to_owned());
    let reading = std::thread::Builder::new().name("setup".to_owned()).spawn(move || {
        let mut kept = Kept::default();
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            match io::Read::take(&mut reader, MOST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return kept.text(),
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    progress.event(&Event::new(&name, EventState::Output).message(&line));
                    kept.push(line);
                }
            }
        }
    })?;
    Ok((nothing, writer, reading))
}

/// Runs a program until it ends, its time is over, or the user interrupts.
fn within(backend: &Backend, time: Duration, bottle: &Bottle, request: ExecRequest) -> Result<ExitStatus> {
    let own = Interrupt::silent()
        .map_err(|error| Failure::new(FailureKind::Internal, "cannot make a pipe").caused_by(&error))?;
    let (done, waited) = channel::<()>();
    let (watched, user, ends) = (Arc::clone(&own), backend.shared_interrupt(), Instant::now() + time);
    let watch = std::thread::Builder::new().name("setup-time".to_owned()).spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = waited.recv_timeout(TICK) {
            if user.triggered() || Instant::now() >= ends {
                return watched.trigger();
            }
        }
    });
    watch.map_err(|error| Failure::new(FailureKind::Internal, "cannot start a thread").caused_by(&error))?;
    let target = bottle.clone();
    let ended =
        backend.call_until(&own, Verb::EXEC, move |opened, call| opened.exec(call, &target, &request));
    drop(done);
    ended
}

/// The last lines of an output.
#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    is_cut: bool,
}

impl Kept {
    fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > MOST_TOLD {
            let Some(first) = self.lines.pop_front() else { break };
            self.bytes -= first.len() + 1;
            self.is_cut = true;
        }
    }

    fn text(self) -> String {
        let first = self.is_cut.then(|| "(what came before is left out)".to_owned());
        let lines = first.into_iter().chain(self.lines);
        lines.map(|line| clean(&line).into_owned()).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_an_output_is_kept() {
        let mut kept = Kept::default();
        (0..10_000).for_each(|number| kept.push(format!("line {number}")));
        let text = kept.text();
        assert!(text.starts_with("(what came before is left out)\nline ") && text.ends_with("\nline 9999"));
        assert!(text.len() < MOST_TOLD + 100);
        let mut kept = Kept::default();
        kept.push("a\u{1b}[2J".to_owned());
        assert!(!kept.text().contains('\u{1b}'));
    }
}
