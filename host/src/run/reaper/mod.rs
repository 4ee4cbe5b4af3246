//! Closes the bottle of a run whose process died without saying goodbye.
//!
//! `start` spawns the hidden command `reap` with a pipe on its standard input. A byte on it means that all is well;
//! its end without one means that the run's process is gone, by SIGKILL or otherwise. The reaper then opens the
//! backend itself, in a fresh process, and removes what carries the dead run's name.

pub(in crate::run) mod environment;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use claude_bottle_plugin_api::{Bottle, CleanupItem, CleanupPlan, CleanupScope};

use crate::results::copied_in::CopiedIn;
use crate::results::save::Most;
use crate::run::backend::{Backend, Verb};
use crate::run::ending::{Outcome, Place};
use crate::run::records::{Phase, Record, Runs};
use crate::run::stage;

/// What the run's process says when there is nothing to reap.
const GOODBYE: &[u8] = b"goodbye\n";
/// What it says before that when its agent has the terminal.
const TERMINAL: &[u8] = b"terminal\n";
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// The reaper is done after this many looks in a row that found nothing. The backend says when its engine is through with what
/// the dead process had asked for; where a backend cannot see that, this is the time that such a request gets.
const QUIET_LOOKS: u32 = 10;
/// It gives up after this many looks.
const MOST_LOOKS: u32 = 50;

/// The file in a run's directory in which its watcher says what it could not do.
pub const LOG: &str = "reaper.log";

/// The watcher of one run, from the run's side.
pub struct Reaper {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the watcher of a run whose record is written.
    pub fn spawn(exe: &Path, runs: &Runs, id: &str) -> anyhow::Result<Self> {
        let log = runs.dir(id).join(LOG);
        let log = open_log(&log).with_context(|| format!("cannot open `{}`", log.display()))?;
        let mut child = Command::new(exe)
            .args(["reap", id])
            .env_clear()
            .envs(environment::of_watcher(std::env::vars_os()))
            // A group of its own: what is typed at the terminal is not meant for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the process that closes the bottle should this one be killed")?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Says that the agent has the terminal, which is put back should this process be killed.
    pub fn note_terminal(&mut self) {
        let said = self.pipe.as_mut().map(|pipe| pipe.write_all(TERMINAL));
        if !matches!(said, Some(Ok(()))) {
            tracing::debug!("the reaper was gone already");
        }
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

/// Opens the log of a watcher, readable by the user alone.
fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Returns what the watcher of a run could not do; `None` when there is nothing of that kind.
pub fn said(runs: &Runs, id: &str) -> Option<String> {
    let text = std::fs::read(runs.dir(id).join(LOG)).ok().filter(|text| !text.is_empty())?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Removes the log of a watcher that had nothing to say.
pub fn drop_empty_log(runs: &Runs, id: &str) {
    let log = runs.dir(id).join(LOG);
    if std::fs::metadata(&log).is_ok_and(|metadata| metadata.len() == 0)
        && let Err(error) = std::fs::remove_file(&log)
    {
        tracing::debug!(%error, "remove the empty log of a reaper");
    }
}

/// How the run's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It said goodbye.
    None,
    /// It did not.
    Sudden {
        /// Whether its agent had the terminal.
        with_terminal: bool,
    },
}

/// Waits for the run's process to say goodbye or to die.
pub fn wait_for_death(mut pipe: impl Read) -> io::Result<Death> {
    let mut said = Vec::new();
    pipe.read_to_end(&mut said)?;
    let last = said.strip_prefix(TERMINAL);
    Ok(match last.unwrap_or(&said) == GOODBYE {
        true => Death::None,
        false => Death::Sudden { with_terminal: last.is_some() },
    })
}

/// Saves the work of a dead run, and removes all that carries its name. What cannot be saved stays, halted.
pub fn reap(place: &Place<'_>, mut record: Record) -> anyhow::Result<()> {
    let (backend, runs) = (place.backend, place.runs);
    // They need no engine, which may take its time.
    remove_stage(&record);
    // A bottle that was made is complete, and so is its removal. Of one that was being made more may turn up.
    let is_closed = match record.instance.clone() {
        None => false,
        Some(bottle) => match close(place, &mut record, &bottle)? {
            Leftover::Kept => return Ok(()),
            Leftover::Removed => true,
            Leftover::Failed => false,
        },
    };
    let enough = if is_closed { 1 } else { QUIET_LOOKS };
    let mut quiet = 0;
    let mut last = Ok(());
    for _ in 0..MOST_LOOKS {
        let mut scope = CleanupScope::new(false);
        // One answer of "nothing" is what the backend waits for; a connection that an engine never closes is waited for once.
        if quiet == 0 {
            scope = scope.killed(record.owner.clone());
        }
        (quiet, last) = match remove_leftovers(backend, &record, scope) {
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

/// What became of the bottle of a dead run.
enum Leftover {
    Removed,
    Failed,
    /// It stays, since its work could not be saved, or since the user wants its files.
    Kept,
}

/// Saves the work of a dead run and closes its bottle.
fn close(place: &Place<'_>, record: &mut Record, bottle: &Bottle) -> anyhow::Result<Leftover> {
    let ended = place.end(record, bottle, Most::default())?;
    if record.phase == Phase::Kept {
        if let Some(Err(failure)) = ended.closed {
            tracing::warn!(%failure, "give back all but the files of a bottle that is kept");
        }
        return Ok(Leftover::Kept);
    }
    match (ended.outcome, ended.closed) {
        (Outcome::Unsaved(error), _) => {
            let name = &record.name;
            tracing::warn!("the work in {name} is not saved, and the bottle is kept: {error:#}");
            Ok(Leftover::Kept)
        }
        (_, Some(Err(failure))) => {
            tracing::warn!(%failure, "close the bottle of a dead run");
            Ok(Leftover::Failed)
        }
        _ => Ok(Leftover::Removed),
    }
}

/// Removes the files of a dead run, of which nothing else is left, and marks its record as ended.
pub fn bury(runs: &Runs, mut record: Record) -> anyhow::Result<()> {
    remove_stage(&record);
    record.phase = Phase::Ended;
    runs.bury(&record)?;
    CopiedIn::remove(&runs.dir(&record.id));
    drop_empty_log(runs, &record.id);
    Ok(())
}

/// Removes the scratch files of a dead run.
fn remove_stage(record: &Record) {
    let Some(stage) = &record.stage else { return };
    if let Err(error) = stage::remove(stage) {
        tracing::warn!(%error, stage = %stage.display(), "remove the stage directory of a dead run");
    }
}

/// Returns `true` if a thing is the dead run's: by its owner or, where it was cut short before it had one, by the run's id,
/// which no other run has.
pub fn is_of(item: &CleanupItem, record: &Record) -> bool {
    match &item.owner {
        Some(owner) => owner.is_same(&record.owner),
        None => item.id.ends_with(&format!("-{}", record.id)),
    }
}

/// Removes what is left of the dead run; returns whether there was anything.
fn remove_leftovers(backend: &Backend, record: &Record, scope: CleanupScope) -> anyhow::Result<bool> {
    let mut plan: CleanupPlan = backend
        .call_through(Verb::PREPARE_CLEANUP, move |opened, call| opened.prepare_cleanup(call, &scope))?;
    plan.remove.retain(|item| is_of(item, record));
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
        let sudden = |with_terminal| Death::Sudden { with_terminal };
        for (said, death) in [
            (&b"goodbye\n"[..], Death::None),
            (b"terminal\ngoodbye\n", Death::None),
            (b"", sudden(false)),
            (b"good", sudden(false)),
            (b"terminal\n", sudden(true)),
            (b"terminal\ngood", sudden(true)),
        ] {
            assert_eq!(wait_for_death(said).unwrap(), death, "{said:?}");
        }
    }
}
