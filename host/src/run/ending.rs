//! The end of a run, by whichever process comes to it: halt, export, save, close. What cannot be saved is not removed, and what
//! the user wants to keep is not closed.

use anyhow::Context;
use claude_bottle_plugin_api::{Bottle, Event, EventState, Failure, FailureKind};

use crate::error::CliError;
use crate::results::copied_in::CopiedIn;
use crate::results::resume;
use crate::results::save::{Most, Work};
use crate::results::store::{Saved, Store};
use crate::run::backend::{Backend, Verb};
use crate::run::closing::{self, Reason};
use crate::run::records::{Phase, Record, Runs};

/// What became of an agent's work.
#[derive(Debug)]
pub enum Outcome {
    /// There is nothing that is saved.
    NothingToSave,
    /// It changed nothing.
    Unchanged,
    /// It is in the store.
    Saved(Box<Saved>),
    /// It could not be saved: the bottle is kept, halted.
    Unsaved(anyhow::Error),
    /// The bottle was removed by something else, and the work with it.
    Lost(Failure),
}

/// Says that nothing of a bottle would be lost with it. Made here alone.
pub struct Safe(());

/// How a run ended.
pub struct Ended {
    /// What became of the work.
    pub outcome: Outcome,
    /// Whether the bottle is closed; `None` if it is kept.
    pub closed: Option<Result<(), Failure>>,
    /// Whether another process has ended the run.
    pub by_another: bool,
}

/// Where a run ends.
pub struct Place<'a> {
    /// The backend.
    pub backend: &'a Backend,
    /// Where records are kept.
    pub runs: &'a Runs,
    /// Where results are kept.
    pub store: &'a Store,
}

impl Place<'_> {
    /// Ends a run: saves what is to be saved, and closes the bottle if nothing is lost by that.
    ///
    /// Two that end the same run do it one after the other, and the second finds it done.
    pub fn end(&self, record: &mut Record, bottle: &Bottle, most: Most) -> anyhow::Result<Ended> {
        if record.saves.is_none() {
            return self.end_without_work(record, bottle);
        }
        let _lock = self.runs.lock(&record.id)?;
        let now = self.runs.get(&record.id);
        if let Some(phase) =
            now.as_ref().map(|now| now.phase).filter(|phase| *phase == Phase::Ended || *phase == Phase::Kept)
        {
            return self.found_ended(record, phase);
        }
        record.keeps |= now.as_ref().is_some_and(|now| now.keeps);
        if now.is_some_and(|now| now.is_saved) {
            // What did that was cut off while it removed the bottle, which is not whole any more.
            let outcome = self.found(record)?;
            return self.close_saved(record, bottle, (outcome, Safe(())));
        }
        if CopiedIn::read(&self.runs.dir(&record.id))?.is_none() {
            return self.end_without_work(record, bottle);
        }
        self.step("save", "saving what changed");
        let saved = self.halt(bottle).and_then(|()| self.save(record, bottle, most).map_err(Halting::Failed));
        self.done("save");
        match saved {
            Ok(saved) => {
                record.is_saved = true;
                self.runs.save(record)?;
                self.close_saved(record, bottle, saved)
            }
            Err(Halting::Gone(failure)) => {
                let closed = closing::without_saving(self.backend, bottle.clone(), Reason::GivenUp);
                self.note_ended(record)?;
                Ok(Ended { outcome: Outcome::Lost(failure), closed: Some(closed), by_another: false })
            }
            Err(Halting::Failed(error)) => {
                record.phase = Phase::Unsaved;
                self.runs.save(record)?;
                Ok(Ended { outcome: Outcome::Unsaved(error), closed: None, by_another: false })
            }
        }
    }

    /// Closes a bottle whose work the user gives up.
    pub fn give_up(&self, record: &mut Record, bottle: &Bottle) -> anyhow::Result<Result<(), Failure>> {
        let _lock = self.runs.lock(&record.id)?;
        let give_up = |backend: &Backend, bottle| closing::without_saving(backend, bottle, Reason::GivenUp);
        let closed = self.close(bottle, give_up);
        if closed.is_ok() {
            self.note_ended(record)?;
        }
        Ok(closed)
    }

    fn end_without_work(&self, record: &mut Record, bottle: &Bottle) -> anyhow::Result<Ended> {
        let reason = if record.saves.is_some() { Reason::NeverRan } else { Reason::NothingToSave };
        let closed = self.close(bottle, |backend, bottle| closing::without_saving(backend, bottle, reason));
        if closed.is_ok() && record.saves.is_some() {
            self.note_ended(record)?;
        }
        Ok(Ended { outcome: Outcome::NothingToSave, closed: Some(closed), by_another: false })
    }

    fn close_saved(
        &self,
        record: &mut Record,
        bottle: &Bottle,
        (outcome, safe): (Outcome, Safe),
    ) -> anyhow::Result<Ended> {
        if record.keeps {
            return self.keep(record, bottle, outcome);
        }
        let closed = self.close(bottle, |backend, bottle| closing::saved(backend, bottle, &safe));
        if closed.is_ok() {
            self.note_ended(record)?;
        }
        Ok(Ended { outcome, closed: Some(closed), by_another: false })
    }

    /// Keeps the files of a bottle whose work is saved, and gives back all else of it.
    fn keep(&self, record: &mut Record, bottle: &Bottle, outcome: Outcome) -> anyhow::Result<Ended> {
        record.phase = Phase::Kept;
        self.runs.save(record).context("write down that the bottle is kept")?;
        self.step("keep", "keeping the bottle's files");
        let target = bottle.clone();
        let kept = self.backend.call_through(Verb::KEEP, move |opened, call| opened.keep(call, &target));
        self.done("keep");
        Ok(Ended { outcome, closed: Some(kept), by_another: false })
    }

    /// Another process has ended the run meanwhile.
    fn found_ended(&self, record: &mut Record, phase: Phase) -> anyhow::Result<Ended> {
        record.phase = phase;
        record.keeps |= phase == Phase::Kept;
        Ok(Ended { outcome: self.found(record)?, closed: Some(Ok(())), by_another: true })
    }

    /// Returns what another process saved.
    fn found(&self, record: &Record) -> anyhow::Result<Outcome> {
        Ok(match self.store.get(&record.id)? {
            Some(saved) => Outcome::Saved(Box::new(saved)),
            // It was said there that nothing changed, or was given up.
            None => Outcome::NothingToSave,
        })
    }

    fn halt(&self, bottle: &Bottle) -> Result<(), Halting> {
        let target = bottle.clone();
        let halted = self.backend.call_through(Verb::HALT, move |opened, call| opened.halt(call, &target));
        halted.map_err(|failure| match failure.kind {
            FailureKind::NotFound => Halting::Gone(failure),
            _ => Halting::Failed(CliError::from(failure).error.context("halt the bottle")),
        })
    }

    fn save(&self, record: &Record, bottle: &Bottle, most: Most) -> anyhow::Result<(Outcome, Safe)> {
        let work = Work { backend: self.backend, runs: self.runs, store: self.store, record, bottle };
        let saved = work.save(&record.id, most)?;
        if let Err(error) = self.store.prune(|run| self.runs.kept(run).is_some()) {
            tracing::warn!("remove old results: {error:#}");
        }
        let resumed = record.saves.as_ref().and_then(|wanted| wanted.resumes.as_ref());
        // Only now does the later result have all of the earlier one.
        if let Some(run) = resumed.filter(|_| saved.is_some())
            && let Err(error) = resume::note(self.store, run)
        {
            tracing::warn!(run, "note that the result was resumed: {error:#}");
        }
        let outcome = saved.map_or(Outcome::Unchanged, |saved| Outcome::Saved(Box::new(saved)));
        Ok((outcome, Safe(())))
    }

    fn close(
        &self,
        bottle: &Bottle,
        close: impl FnOnce(&Backend, Bottle) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // It may take long, and nothing else tells of it.
        self.step("close", "removing the bottle");
        let closed = close(self.backend, bottle.clone());
        self.done("close");
        closed
    }

    fn note_ended(&self, record: &mut Record) -> anyhow::Result<()> {
        record.phase = Phase::Ended;
        self.runs.save(record).context("write down that the run has ended")?;
        CopiedIn::remove(&self.runs.dir(&record.id));
        Ok(())
    }

    fn step(&self, step: &str, message: &str) {
        self.backend.progress().event(&Event::new(step, EventState::Started).message(message));
    }

    fn done(&self, step: &str) {
        self.backend.progress().event(&Event::new(step, EventState::Finished));
    }
}

/// Why there is nothing to read.
enum Halting {
    /// The bottle is not there any more.
    Gone(Failure),
    /// It is, and could not be halted or read.
    Failed(anyhow::Error),
}
