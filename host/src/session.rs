//! One run from launch to close: whatever happens in between, the bottle is closed and every error is reported.

use std::path::Path;

use claude_bottle_plugin_api::{Bottle, ExecRequest, ExitStatus, Failure, FailureKind, Plan};

use crate::backend::{Backend, Verb};
use crate::error::{CliError, CliResult, Exit};
use crate::reaper::Reaper;
use crate::runs::{Phase, Record, Runs};
use crate::terminal::Raw;

/// What a run needs.
pub struct Session<'a> {
    /// The backend, with the run's secrets granted.
    pub backend: &'a Backend,
    /// Where records are kept.
    pub runs: &'a Runs,
    /// This program's file, to start the reaper from.
    pub exe: &'a Path,
    /// What the user agreed to.
    pub plan: &'a Plan,
    /// The run's record, in phase [`Phase::Creating`].
    pub record: Record,
}

impl Session<'_> {
    /// Launches, provisions, executes and closes.
    pub fn run(mut self, request: ExecRequest) -> CliResult<ExitStatus> {
        self.runs.save(&self.record)?;
        let reaper = Reaper::spawn(self.exe, &self.record.id)?;
        let outcome = self.launch_and_use(request);
        self.backend.progress().clear();
        // A verb that never returned may still be making things: they are left to the reaper.
        if outcome.is_abandoned {
            reaper.leave_behind()
        } else {
            reaper.dismiss()
        }
        self.record.phase = Phase::Ended;
        let recorded = self.runs.save(&self.record).and_then(|()| self.runs.prune());
        match (outcome.result, recorded) {
            (Ok(status), Ok(())) => Ok(status),
            (Ok(_), Err(error)) => Err(CliError::from(error).exit(Exit::Start)),
            (Err(error), Ok(())) => Err(error.exit(Exit::Start)),
            (Err(error), Err(other)) => Err(error.exit(Exit::Start).also(other.into())),
        }
    }

    fn launch_and_use(&mut self, request: ExecRequest) -> Outcome {
        let plan = self.plan.clone();
        let bottle = match self.backend.call(Verb::LAUNCH, move |opened, call| opened.launch(call, &plan)) {
            Ok(bottle) => bottle,
            Err(failure) => {
                return Outcome::failed(failure).with_details(self.backend.progress().output_of_failed());
            }
        };
        self.record.phase = Phase::Running;
        self.record.name.clone_from(&bottle.name);
        self.record.instance = Some(bottle.clone());
        let used = match self.runs.save(&self.record) {
            Ok(()) => self.provision_and_exec(&bottle, request),
            Err(error) => Err(error.into()),
        };
        self.backend.progress().clear();
        let closed = self.backend.call_through(Verb::CLOSE, move |opened, call| opened.close(call, &bottle));
        Outcome::of_use(used, closed)
    }

    fn provision_and_exec(&self, bottle: &Bottle, mut request: ExecRequest) -> Result<ExitStatus, Failure> {
        let (plan, target) = (self.plan.clone(), bottle.clone());
        let provisioned =
            self.backend.call(Verb::PROVISION, move |opened, call| opened.provision(call, &plan, &target))?;
        request.prompt_path = provisioned.prompt_path;
        exec(self.backend, bottle, request)
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

/// How a run ended.
struct Outcome {
    result: CliResult<ExitStatus>,
    is_abandoned: bool,
}

impl Outcome {
    fn failed(failure: Failure) -> Self {
        // A launch that panicked has not undone what it did.
        let is_abandoned = matches!(failure.kind, FailureKind::Timeout | FailureKind::Panic);
        Self { is_abandoned, result: Err(failure.into()) }
    }

    /// Adds what the step that failed had printed: the output of an image's build.
    fn with_details(mut self, details: Option<String>) -> Self {
        // Who interrupts does not ask why.
        if let Err(error) = &mut self.result
            && error.exit != Exit::Interrupted
        {
            error.details = details;
        }
        self
    }

    fn of_use(used: Result<ExitStatus, Failure>, closed: Result<(), Failure>) -> Self {
        match (used, closed) {
            (Ok(status), Ok(())) => Self { result: Ok(status), is_abandoned: false },
            (Err(failure), Ok(())) => Self { result: Err(failure.into()), is_abandoned: false },
            (Ok(_), Err(failure)) => Self { result: Err(failure.into()), is_abandoned: true },
            (Err(failure), Err(other)) => {
                Self { result: Err(CliError::from(failure).also(other.into())), is_abandoned: true }
            }
        }
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
