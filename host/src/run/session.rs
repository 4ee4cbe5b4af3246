//! One run from launch to close: whatever happens in between, the bottle is closed and every error is reported.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claude_bottle_plugin_api::{Bottle, ExecRequest, ExitStatus, Failure, FailureKind, Plan, Spec};

use crate::error::{CliError, CliResult, Exit};
use crate::results::commits;
use crate::results::copied_in::CopiedIn;
use crate::results::save::{self, Most};
use crate::results::store::Store;
use crate::run::backend::{Backend, Verb};
use crate::run::ending::{self, Place};
use crate::run::hold::told::{News, Told};
use crate::run::hold::{Held, socket};
use crate::run::names;
use crate::run::reaper::{Reaper, drop_empty_log};
use crate::run::records::{Phase, Record, Runs, Timing};
use crate::run::refresh::{Failed, Refresh, Refresher};
use crate::run::setup::Setup;
use crate::run::stage;
use crate::ui::terminal::{Raw, Title};

/// What is said of a bottle that another process has ended.
const CLOSED: &str = "the bottle was closed";

/// How an agent ended, or that its bottle went away under it.
type Used = Result<ExitStatus, Failure>;

/// What a run needs.
pub struct Session<'a> {
    /// The backend, with the run's secrets granted.
    pub backend: &'a Backend,
    /// Where records are kept.
    pub runs: &'a Runs,
    /// Where results are kept.
    pub store: &'a Store,
    /// The run, as it was prepared.
    pub spec: &'a Spec,
    /// This program's file, to start the reaper from.
    pub exe: &'a Path,
    /// Whether the agent's own commits are kept too.
    pub commits: bool,
    /// What the user agreed to.
    pub plan: &'a Plan,
    /// The run's record, in phase [`Phase::Creating`].
    pub record: Record,
    /// Whether the user gave the bottle its name.
    pub is_named: bool,
    /// What makes the bottle ready before the agent runs.
    pub setup: Setup<'a>,
    /// Secrets that are asked for again while the agent runs.
    pub refreshed: &'a [Refresh],
    /// The user's home, in which their commands run.
    pub home: &'a Path,
    /// The process that holds this one's terminal, if one does.
    pub told: Option<&'a Told>,
}

impl Session<'_> {
    /// Launches, provisions, executes, saves and closes.
    pub fn run(mut self, request: ExecRequest) -> Ran {
        let created = match self.is_named {
            true => names::create(self.runs, &self.record),
            false => self.runs.create(&self.record).map_err(CliError::from),
        };
        if let Err(error) = created {
            return Ran::failed(error);
        }
        self.tell(&News::Run(self.record.id.clone()));
        let mut reaper = match Reaper::spawn(self.exe, self.runs, &self.record.id) {
            Ok(reaper) => reaper,
            Err(error) => return Ran::failed(self.end_unwatched(error)),
        };
        if request.tty {
            reaper.note_terminal();
        }
        let outcome = self.launch_and_use(request);
        self.backend.progress().clear();
        self.note_times();
        let is_kept = self.record.phase == Phase::Kept;
        if !is_kept && !matches!(outcome.work, ending::Outcome::Unsaved(_)) {
            self.record.phase = Phase::Ended;
            // Of a bottle whose agent never ran.
            if !outcome.is_abandoned {
                CopiedIn::remove(&self.runs.dir(&self.record.id));
            }
        }
        let recorded = self.runs.save(&self.record).and_then(|()| self.runs.prune());
        self.close_door();
        // A verb that never returned may still be making things: they are left to the reaper.
        if outcome.is_abandoned && !is_kept {
            reaper.leave_behind()
        } else {
            // The reaper removes it should this process be killed, and so it goes before the reaper does.
            if let Err(error) = stage::remove(&self.spec.stage_dir) {
                tracing::debug!(%error, "remove the stage directory");
            }
            reaper.dismiss()
        }
        let result = match (outcome.result, recorded) {
            (Ok(ending), Ok(())) => Ok(ending),
            (Ok(_), Err(error)) => Err(CliError::from(error).exit(Exit::Start)),
            (Err(error), Ok(())) => Err(error.exit(Exit::Start)),
            (Err(error), Err(other)) => Err(error.exit(Exit::Start).also(other.into())),
        };
        Ran { result, work: outcome.work }
    }

    /// Ends a run that nothing would watch, before anything of it was made.
    fn end_unwatched(&mut self, error: anyhow::Error) -> CliError {
        drop_empty_log(self.runs, &self.record.id);
        self.record.phase = Phase::Ended;
        let error = CliError::from(error).exit(Exit::Start);
        match self.runs.save(&self.record) {
            Ok(()) => error,
            Err(other) => error.also(other.into()),
        }
    }

    /// Removes what its session was attached to by: whoever held it may be dead.
    fn close_door(&self) {
        if self.told.is_some()
            && let Err(error) = socket::remove(&self.runs.dir(&self.record.id))
        {
            tracing::debug!(%error, "remove the socket of the session");
        }
    }

    fn tell(&self, news: &News) {
        if let Some(told) = self.told {
            told.tell(news);
        }
    }

    /// Notes when the run ended, and how long its steps took.
    fn note_times(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.record.ended_unix = Some(now.as_secs());
        let timing = |(step, took): (String, Duration)| {
            // Tenths of a millisecond are enough.
            Timing { step, millis: (took.as_secs_f64() * 10_000.0).round() / 10.0 }
        };
        self.record.timings = self.backend.progress().timings().into_iter().map(timing).collect();
    }

    fn launch_and_use(&mut self, request: ExecRequest) -> Outcome {
        let (spec, plan) = (self.spec.clone(), self.plan.clone());
        let launch = self.backend.call(Verb::LAUNCH, move |opened, call| opened.launch(call, &spec, &plan));
        let bottle = match launch {
            Ok(bottle) => bottle,
            Err(failure) => {
                return Outcome::failed(failure).with_details(self.backend.progress().output_of_failed());
            }
        };
        self.record.phase = Phase::Running;
        if !self.is_named {
            self.record.name.clone_from(&bottle.name);
        }
        self.record.instance = Some(bottle.clone());
        let mut stale = Failed::default();
        let used = match self.runs.save(&self.record) {
            Ok(()) => {
                let run_dir = self.runs.dir(&self.record.id);
                let refresher =
                    Refresher::start(self.backend, &bottle, (self.home, &run_dir), self.refreshed);
                let used = self.provision_and_exec(&bottle, request);
                stale = refresher.map(Refresher::end).unwrap_or_default();
                used
            }
            Err(error) => Err(error.into()),
        };
        self.backend.progress().clear();
        self.record.exit_code =
            used.as_ref().ok().and_then(|used| used.as_ref().ok()).map(|status| status.code);
        let place = Place { backend: self.backend, runs: self.runs, store: self.store };
        match place.end(&mut self.record, &bottle, Most::default()) {
            Ok(ended) => {
                if ended.by_another {
                    // It was halted, and did not end by itself.
                    self.record.exit_code = None;
                }
                let mut outcome = Outcome::of_use(used, ended);
                if let Ok(ending) = &mut outcome.result {
                    ending.stale = stale;
                }
                outcome
            }
            Err(error) => Outcome::stuck(used, error),
        }
    }

    /// Runs the agent. The failure within is of one whose bottle went away under it: whether another has closed that is seen at the end.
    fn provision_and_exec(&mut self, bottle: &Bottle, mut request: ExecRequest) -> CliResult<Used> {
        let (spec, plan, target) = (self.spec.clone(), self.plan.clone(), bottle.clone());
        let provisioned = self
            .backend
            .call(Verb::PROVISION, move |opened, call| opened.provision(call, &spec, &plan, &target))?;
        request.prompt_path = provisioned.prompt_path;
        if let Some((workspace, wanted)) = self.spec.workspace.as_ref().zip(self.record.saves.as_ref()) {
            save::remember(self.backend, bottle, &self.runs.dir(&self.record.id), workspace, wanted)?;
        }
        if let Err(error) = self.setup.run(self.backend, bottle) {
            // Of an agent that never ran there is no work.
            self.record.saves = None;
            return Err(error);
        }
        self.tell(&News::Running(Held { run: self.record.id.clone(), name: self.record.name.clone() }));
        let title = request.tty.then(|| Title::set(&format!("{} (bottle)", self.record.name)));
        let status = exec(self.backend, bottle, request);
        drop(title);
        let status = match status {
            Err(failure) if failure.kind == FailureKind::NotFound => return Ok(Err(failure)),
            status => status?,
        };
        if self.commits {
            commits::export::export(self.backend, bottle, &self.runs.dir(&self.record.id));
        }
        Ok(Ok(status))
    }
}

/// Runs a program in a bottle, with the terminal raw while it has one.
pub fn exec(backend: &Backend, bottle: &Bottle, mut request: ExecRequest) -> Result<ExitStatus, Failure> {
    backend.progress().clear();
    let raw = match request.tty {
        true => Some(Raw::enter().map_err(|error| {
            Failure::new(FailureKind::Internal, "put the terminal into raw mode").caused_by(&error)
        })?),
        false => None,
    };
    request.resized = request.tty.then(|| backend.interrupt().resized());
    let target = bottle.clone();
    let result = backend.call(Verb::EXEC, move |opened, call| opened.exec(call, &target, &request));
    // A program that was killed has not tidied up the screen.
    if let (Some(raw), Ok(ExitStatus { code: 0..128, .. })) = (raw, &result) {
        raw.leave();
    }
    result
}

/// How a run ended whose agent was run.
pub struct Ending {
    /// How the agent ended.
    pub status: ExitStatus,
    /// Whether the bottle is still being removed, by the reaper once this process has ended.
    pub is_being_removed: bool,
    /// Secrets that could not be had again while it ran.
    pub stale: Failed,
}

impl Ending {
    fn new(status: ExitStatus, is_being_removed: bool) -> Self {
        Self { status, is_being_removed, stale: Failed::default() }
    }
}

/// What a run came to: how it ended, and what became of the agent's work in either case.
pub struct Ran {
    /// How it ended.
    pub result: CliResult<Ending>,
    /// What became of the work.
    pub work: ending::Outcome,
}

impl Ran {
    fn failed(error: CliError) -> Self {
        Self { result: Err(error.exit(Exit::Start)), work: ending::Outcome::NothingToSave }
    }
}

/// How a run ended.
struct Outcome {
    result: CliResult<Ending>,
    work: ending::Outcome,
    is_abandoned: bool,
}

impl Outcome {
    fn failed(failure: Failure) -> Self {
        // A launch that panicked has not undone what it did.
        let is_abandoned = matches!(failure.kind, FailureKind::Timeout | FailureKind::Panic);
        Self { is_abandoned, result: Err(failure.into()), work: ending::Outcome::NothingToSave }
    }

    /// Adds what the step that failed had printed: the output of an image's build.
    fn with_details(mut self, details: Option<String>) -> Self {
        // Skip the build output: the user interrupted.
        if let Err(error) = &mut self.result
            && error.exit != Exit::Interrupted
        {
            error.details = details;
        }
        self
    }

    fn of_use(used: CliResult<Used>, ended: ending::Ended) -> Self {
        let used = match used {
            // It was halted under the agent, by `stop` for instance.
            Ok(_) if ended.by_another => Err(CliError::new(Exit::Start, CLOSED)),
            used => used.and_then(|used| Ok(used?)),
        };
        let (result, is_abandoned) = match (used, ended.closed.unwrap_or(Ok(()))) {
            (Ok(status), Ok(())) => (Ok(Ending::new(status, false)), false),
            // The agent has done its work; a removal that is slow changes nothing about that.
            (Ok(status), Err(failure)) if failure.kind == FailureKind::Timeout => {
                (Ok(Ending::new(status, true)), true)
            }
            (Err(error), Ok(())) => (Err(error), false),
            (Ok(_), Err(failure)) => (Err(failure.into()), true),
            (Err(error), Err(other)) => (Err(error.also(other.into())), true),
        };
        Self { result, work: ended.outcome, is_abandoned }
    }

    /// The run could not even be looked at; its watcher may.
    fn stuck(used: CliResult<Used>, error: anyhow::Error) -> Self {
        let error = CliError::from(error);
        let result = match used.and_then(|used| Ok(used?)) {
            Ok(_) => Err(error),
            Err(first) => Err(first.also(error)),
        };
        Self { result, work: ending::Outcome::NothingToSave, is_abandoned: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_that_could_not_undo_is_left_to_the_reaper() {
        let abandoned = |kind| Outcome::failed(Failure::new(kind, "launch")).is_abandoned;
        assert!(abandoned(FailureKind::Panic) && abandoned(FailureKind::Timeout));
        assert!(!abandoned(FailureKind::Conflict) && !abandoned(FailureKind::Cancelled));
    }
}
