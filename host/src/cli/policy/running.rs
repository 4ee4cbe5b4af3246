//! The bottles that are running, by the names a user gives them, and the policy that each has by now.

use crate::cli::app::Calls;
use crate::cli::{App, selection};
use crate::egress::live::LivePolicy;
use crate::error::{CliError, CliResult, Exit};
use crate::run::backend::{Backend, Verb};
use crate::run::owner;
use crate::run::records::Record;

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::{Bottle, Failure, FailureKind, ReloadRequest};

/// Returns the runs that go on and have a policy.
pub(in crate::cli) fn running(app: &App) -> CliResult<Vec<Record>> {
    let mut runs = app.runs().all()?;
    runs.retain(|run| {
        !run.phase.is_over() && run.policy.is_some() && owner::is_alive(&run.owner) != Ok(false)
    });
    Ok(runs)
}

/// Returns the runs that the name means and that go on: one of the bottle or run of that name, else those of the agent.
pub(super) fn live_runs(app: &App, name: &str) -> CliResult<Vec<Record>> {
    Ok(selection::meant(running(app)?, name))
}

/// Returns the one bottle that the name means, with what reaches it.
pub(in crate::cli) fn only(app: &App, name: &str) -> CliResult<(Record, Bottle)> {
    let mut run = selection::only(running(app)?, name)?;
    match run.instance.take() {
        Some(bottle) => Ok((run, bottle)),
        None => Err(CliError::new(Exit::Failed, format!("the bottle `{}` is still being made", run.name))),
    }
}

/// Returns the policy that counts in a bottle. Where a process was killed while it changed that, the old one is sent again.
pub(super) fn known(app: &App, run: &Record) -> CliResult<LivePolicy> {
    let dir = app.runs().dir(&run.id);
    let live = LivePolicy::read(&dir, run)?;
    let Some(bottle) = run.instance.as_ref().filter(|_| live.is_under_way()) else { return Ok(live) };
    let calls = Calls::new(app)?;
    let backend = app.open(&run.backend, &calls)?;
    let _lock = LivePolicy::lock(&dir)?;
    settled(&backend, bottle, LivePolicy::read(&dir, run)?)
}

/// Sends the old policy again when nothing tells what came of another one.
pub(super) fn settled(backend: &Backend, bottle: &Bottle, mut live: LivePolicy) -> CliResult<LivePolicy> {
    if live.is_under_way() {
        send(backend, bottle, live.policy())?;
        live.keep()?;
    }
    Ok(live)
}

/// Gives a bottle's proxy a policy.
pub(super) fn send(backend: &Backend, bottle: &Bottle, policy: &Policy) -> Result<(), Failure> {
    let document = serde_json::to_value(policy);
    let document = document
        .map_err(|error| Failure::new(FailureKind::Internal, "cannot write the policy").caused_by(&error))?;
    let (bottle, request) = (bottle.clone(), ReloadRequest::new(document));
    let answer = backend.call(Verb::RELOAD, move |opened, call| opened.reload(call, &bottle, &request))?;
    if answer.applied {
        return Ok(());
    }
    let message = format!("the backend `{}` does not say that the policy counts", backend.name());
    Err(Failure::new(FailureKind::Unreachable, message))
}
