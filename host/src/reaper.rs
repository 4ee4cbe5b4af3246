//! Closes the bottle of a run whose process died without saying goodbye.
//!
//! `start` spawns the hidden command `reap` with a pipe on its standard input. A byte on it means that all is well;
//! its end without one means that the run's process is gone, by SIGKILL or otherwise. The reaper then opens the
//! backend itself, in a fresh process, and removes what carries the dead run's name.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use claude_bottle_plugin_api::{Bottle, CleanupPlan, CleanupScope};

use crate::backend::{Backend, Verb};
use crate::runs::{Phase, Record, Runs};

/// What the run's process says when there is nothing to reap.
const GOODBYE: &[u8] = b"goodbye\n";
/// The beginning of a stage directory's name.
pub const STAGE_PREFIX: &str = "claude-bottle-";
/// An engine may still be answering a request of the dead process; nothing tells when it is through.
const PAUSE: Duration = Duration::from_millis(200);
/// The reaper is done after this many looks in a row that found nothing: an engine with much to do has taken a second to make
/// the network that the dead process had asked for.
const QUIET_LOOKS: u32 = 10;
/// It gives up after this many looks.
const MOST_LOOKS: u32 = 50;

/// The watcher of one run, from the run's side.
pub struct Reaper {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the watcher of a run whose record is written.
    pub fn spawn(exe: &Path, id: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(exe)
            .args(["reap", id])
            // A fault that a test asks for is the run's, and not its watcher's.
            .env_remove("CLAUDE_BOTTLE_FAULT")
            // A group of its own: what is typed at the terminal is not meant for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the process that closes the bottle should this one be killed")?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Says that the bottle is closed, and waits for the watcher to end.
    pub fn dismiss(mut self) {
        let said = self.pipe.take().map(|mut pipe| pipe.write_all(GOODBYE));
        if !matches!(said, Some(Ok(()))) {
            tracing::debug!("the reaper was gone already");
        }
        if let Err(error) = self.child.wait() {
            tracing::debug!(%error, "wait for the reaper");
        }
    }

    /// Leaves the bottle to the watcher, which sees this process's end.
    pub fn leave_behind(mut self) {
        std::mem::forget(self.pipe.take());
    }
}

/// Waits for the run's process to say goodbye or to die; returns whether it died.
pub fn wait_for_death(mut pipe: impl Read) -> io::Result<bool> {
    let mut said = Vec::new();
    pipe.read_to_end(&mut said)?;
    Ok(said != GOODBYE)
}

/// Removes all that carries the dead run's name.
pub fn reap(backend: &Backend, runs: &Runs, record: Record) -> anyhow::Result<()> {
    // They need no engine, which may take its time.
    remove_stage(&record);
    // A bottle that was made is complete, and so is its removal. Of one that was being made more may turn up.
    let is_closed = record.instance.clone().is_some_and(|bottle| close(backend, bottle));
    let enough = if is_closed { 1 } else { QUIET_LOOKS };
    let mut quiet = 0;
    let mut last = Ok(());
    for _ in 0..MOST_LOOKS {
        (quiet, last) = match remove_leftovers(backend, &record) {
            Ok(true) => (0, Ok(())),
            Ok(false) => (quiet + 1, Ok(())),
            // An engine that is just being restarted is back in a moment.
            Err(error) => (0, Err(error)),
        };
        if quiet == enough {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    last?;
    bury(runs, record)
}

/// Closes the bottle of a dead run; returns whether that went well.
fn close(backend: &Backend, bottle: Bottle) -> bool {
    let closed = backend.call_through(Verb::CLOSE, move |opened, call| opened.close(call, &bottle));
    if let Err(failure) = &closed {
        tracing::warn!(%failure, "close the bottle of a dead run");
    }
    closed.is_ok()
}

/// Removes the files of a dead run, of which nothing else is left, and marks its record as ended.
pub fn bury(runs: &Runs, mut record: Record) -> anyhow::Result<()> {
    remove_stage(&record);
    record.phase = Phase::Ended;
    runs.bury(&record)
}

/// Removes the scratch files of a dead run.
fn remove_stage(record: &Record) {
    let Some(stage) = &record.stage else { return };
    // The name is asked for, so that a damaged record cannot remove anything else.
    let is_ours =
        stage.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(STAGE_PREFIX.as_bytes()));
    if is_ours
        && let Err(error) = std::fs::remove_dir_all(stage)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, stage = %stage.display(), "remove the stage directory of a dead run");
    }
}

/// Removes what is left of the dead run; returns whether there was anything.
fn remove_leftovers(backend: &Backend, record: &Record) -> anyhow::Result<bool> {
    let scope = CleanupScope::new(false);
    let mut plan: CleanupPlan = backend
        .call_through(Verb::PREPARE_CLEANUP, move |opened, call| opened.prepare_cleanup(call, &scope))?;
    plan.remove.retain(|item| item.owner.as_ref() == Some(&record.owner));
    if plan.remove.is_empty() {
        return Ok(false);
    }
    let report = backend.call_through(Verb::CLEANUP, move |opened, call| opened.cleanup(call, &plan))?;
    for failure in &report.failures {
        tracing::warn!(%failure, "remove what a dead run left");
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_goodbye_counts() {
        assert!(!wait_for_death(GOODBYE).unwrap());
        assert!(wait_for_death(&b""[..]).unwrap());
        assert!(wait_for_death(&b"good"[..]).unwrap());
    }
}
