//! What a start needs apart from a backend: a manifest, a token for the agent's program, and room on the disk.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::{App, token};
use super::disk;
use crate::error::{CliError, CliResult};
use crate::manifest::{Agent, Manifest, ManifestErrors, ProblemKind, listed};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Nothing is to be done.
    Ok,
    /// A start works, and something will be missed.
    Warning,
    /// A start fails.
    Failed,
}

/// One thing that a start needs. Its keys are a contract.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// What was looked at: `manifest`, `token`, `disk`.
    check: &'static str,
    state: State,
    message: String,
    /// What to do, a command to paste.
    fix: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, message: String) -> Self {
        Self { check, state: State::Ok, message, fix: None }
    }

    pub(super) fn warning(check: &'static str, message: String, fix: String) -> Self {
        Self { check, state: State::Warning, message, fix: Some(fix) }
    }

    pub(super) fn failed(check: &'static str, message: String, fix: String) -> Self {
        Self { check, state: State::Failed, message, fix: Some(fix) }
    }

    /// Returns `true` if a start fails because of it.
    pub(super) fn is_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Returns a line, and one with what to do.
    pub(super) fn lines(&self) -> Vec<String> {
        let state = match self.state {
            State::Ok => "ok: ",
            State::Warning => "warning: ",
            State::Failed => "",
        };
        let first = format!("{}: {state}{}", self.check, self.message);
        std::iter::once(first).chain(self.fix.iter().map(|fix| format!("  fix: {fix}"))).collect()
    }
}

/// Looks at everything. A manifest that cannot be read leaves nothing to say of its agents.
pub(super) fn all(app: &App, manifest: &CliResult<Manifest>) -> Vec<Check> {
    let token = manifest.as_ref().map(|manifest| token_checks(app, manifest)).unwrap_or_default();
    std::iter::once(manifest_check(manifest)).chain(token).chain(disk::checks(app)).collect()
}

fn manifest_check(manifest: &CliResult<Manifest>) -> Check {
    let init = || "claude-bottle init".to_owned();
    match manifest {
        Ok(manifest) => {
            let names: Vec<_> = manifest.agents().map(|agent| agent.name.as_str()).collect();
            let files = listed(manifest.files().iter().map(|file| file.shown.as_str()));
            if names.is_empty() {
                return Check::failed("manifest", format!("{files} defines no agent"), init());
            }
            Check::ok("manifest", format!("{files} with {}", listed(names)))
        }
        Err(error) if is_missing(error) => Check::failed("manifest", "there is none".to_owned(), init()),
        Err(error) => {
            // The first line says where; the rest is told by every command that reads the manifest.
            let details = error.details.as_deref().and_then(|details| details.lines().next());
            let message = details.map_or_else(|| format!("{:#}", error.error), str::to_owned);
            let fix = error.hints.first().cloned().unwrap_or_else(|| "claude-bottle edit".to_owned());
            Check::failed("manifest", message, fix)
        }
    }
}

fn is_missing(error: &CliError) -> bool {
    error.error.downcast_ref::<ManifestErrors>().is_some_and(|errors| errors.has(ProblemKind::NoFile))
}

/// Says which agents have to log in; nothing where none has a program that does.
fn token_checks(app: &App, manifest: &Manifest) -> Vec<Check> {
    let of_program = |agent: &Agent| Some(agent.program()?.login.as_ref()?.program.clone());
    let programs: BTreeSet<_> = manifest.agents().filter_map(of_program).collect();
    let check = |program: &String| {
        let agents = manifest.agents().filter(|agent| of_program(agent).as_ref() == Some(program));
        let missing =
            agents.filter_map(|agent| Some((agent.name.as_str(), token::missing(app, manifest, agent)?)));
        let (without, logins): (Vec<_>, Vec<_>) = missing.unzip();
        let Some(login) = logins.first() else {
            return Check::ok("token", format!("every agent that runs {program} has one"));
        };
        let message = format!("none for {}: {}", listed(without), login.missing);
        Check::warning("token", message, login.fix.clone())
    };
    programs.iter().map(check).collect()
}
