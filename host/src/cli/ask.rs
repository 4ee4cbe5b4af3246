//! Which backends are asked for bottles: those that can be loaded, and those to which a run on record belongs.
//!
//! A plug-in that is missing or refused does not hide its bottles: the record of a run names the backend, and what
//! cannot be asked is an error.

use super::App;
use super::app::Calls;
use crate::error::{CliError, CliResult};
use crate::plugins::registry;
use crate::run::backend::Backend;
use crate::run::records::{Phase, Record};

/// A backend that may have bottles.
pub(super) struct Candidate {
    /// Its name.
    pub(super) name: String,
    /// The runs on record that have not ended.
    runs: Vec<Record>,
    /// Whether a run on record was made with it, one that has ended included.
    was_used: bool,
}

impl Candidate {
    /// Opens the backend and asks it; what cannot be asked is kept in `missed` or warned of.
    pub(super) fn ask<T>(
        &self,
        app: &App,
        calls: &Calls,
        missed: &mut Missed,
        question: impl FnOnce(&Backend) -> CliResult<T>,
    ) -> Option<(Backend, T)> {
        let asked = app.open(&self.name, calls).and_then(|backend| {
            let answer = question(&backend)?;
            Ok((backend, answer))
        });
        asked.map_err(|error| missed.note(app, self, error)).ok()
    }

    /// Says which runs the error is about, and how to give up what can no longer be asked.
    fn explain(&self, app: &App, mut error: CliError) -> CliError {
        let ids: Vec<_> = self.runs.iter().map(|run| format!("`{}`", run.id)).collect();
        let runs = if ids.len() == 1 { "run" } else { "runs" };
        let message = format!("backend `{}` of {runs} {} cannot be asked", self.name, ids.join(", "));
        error.error = error.error.context(message);
        let dirs: Vec<_> =
            self.runs.iter().map(|run| app.runs().dir(&run.id).display().to_string()).collect();
        error.hint(format!("if nothing of it is left, forget it: rm -r {}", dirs.join(" ")))
    }
}

/// What could not be asked.
#[derive(Default)]
pub(super) struct Missed(Option<CliError>);

impl Missed {
    fn note(&mut self, app: &App, candidate: &Candidate, error: CliError) {
        let is_selected = app.backend_name(None) == candidate.name;
        let error = match (candidate.runs.is_empty(), is_selected) {
            (false, _) => candidate.explain(app, error),
            (true, true) => error,
            // An engine that this user never had is no news.
            (true, false) if !candidate.was_used => {
                return tracing::info!(backend = candidate.name, "cannot be asked: {:#}", error.error);
            }
            (true, false) => {
                let text = format!("backend `{}` cannot be asked: {:#}", candidate.name, error.error);
                return app.ui.warning(&text);
            }
        };
        self.add(error);
    }

    /// Adds what went wrong at a backend that was asked.
    pub(super) fn add(&mut self, error: CliError) {
        self.0 = Some(match self.0.take() {
            Some(first) => first.also(error),
            None => error,
        });
    }

    /// Returns `true` if a backend could not be asked that may have bottles.
    pub(super) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// Fails when a backend could not be asked that may have bottles.
    pub(super) fn into_result(self) -> CliResult {
        self.0.map_or(Ok(()), Err)
    }
}

impl App {
    /// Returns the backends that may have bottles, by name.
    pub(super) fn candidates(&self) -> CliResult<Vec<Candidate>> {
        let all = self.runs().all()?;
        let was_used = |name: &str| all.iter().any(|run| run.backend == name);
        let open: Vec<_> = all.iter().filter(|run| run.phase != Phase::Ended).collect();
        let mut names = self.loadable()?;
        names.extend(open.iter().map(|run| run.backend.clone()));
        names.sort();
        names.dedup();
        let candidate = |name: String| {
            let runs = open.iter().filter(|run| run.backend == name).copied().cloned().collect();
            let was_used = was_used(&name);
            Candidate { name, runs, was_used }
        };
        Ok(names.into_iter().map(candidate).collect())
    }

    /// Fails when one of these runs has not ended and its backend cannot be loaded.
    pub(super) fn check_can_be_asked(&self, runs: &[&Record]) -> CliResult {
        let (mut missed, pins) = (Missed::default(), self.pins()?);
        let loadable = self.loadable()?;
        let is_meant = |candidate: &Candidate| {
            candidate.runs.iter().any(|run| runs.iter().any(|wanted| wanted.id == run.id))
        };
        let candidates = self.candidates()?.into_iter().filter(is_meant);
        for candidate in candidates.filter(|candidate| !loadable.contains(&candidate.name)) {
            // Why, in the words of the attempt itself.
            if let Err(error) = registry::load(&self.search_path(), &pins, &candidate.name) {
                missed.note(self, &candidate, error.into());
            }
        }
        missed.into_result()
    }
}
