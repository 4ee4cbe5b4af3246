//! The first half of a start: the way out, the spec, and the backend's plan. Whatever can be refused is refused here, and nothing is made.

use std::path::Path;

use claude_bottle_plugin_api::{Failure, Plan, Spec};

use crate::cli::App;
use crate::egress::Egress;
use crate::egress::roots::RootsError;
use crate::error::{CliError, CliResult};
use crate::manifest::{Agent, Bottle};
use crate::profile;
use crate::run::backend::{Backend, Verb};
use crate::run::spec::{self, StartOptions};
use crate::run::token::Granted;
use crate::run::{capabilities, claude_files, intercept, own_skill, secrets, tools};

/// A run that nothing refuses.
pub(in crate::cli) struct Prepared {
    /// Its bottle, with the user's token.
    pub(in crate::cli) granted: Granted,
    /// Its way out.
    pub(in crate::cli) egress: Egress,
    /// What the backend is given.
    pub(in crate::cli) spec: Spec,
    /// What the backend is going to make.
    pub(in crate::cli) plan: Plan,
}

/// Why a run is refused.
struct Refusal {
    error: CliError,
    /// Why the guard cannot look into HTTPS, if that is why.
    is_closed: Option<String>,
}

impl From<CliError> for Refusal {
    fn from(error: CliError) -> Self {
        Self { error, is_closed: None }
    }
}

/// Prepares a run. Where HTTPS stays closed to the guard, it is not looked into unless something needs it, and the agent reads the
/// user's token, which no manifest has asked to be hidden.
pub(in crate::cli) fn prepared(
    app: &App,
    backend: &Backend,
    (agent, bottle): (&Agent, &Bottle),
    wishes: &StartOptions,
    stage: &Path,
) -> CliResult<Prepared> {
    let mut granted = app.granted(agent, bottle);
    loop {
        let refusal = match attempt(app, backend, agent, granted.clone(), wishes, stage) {
            Ok(prepared) => return Ok(prepared),
            Err(refusal) => refusal,
        };
        granted = match refusal.is_closed {
            Some(reason) if granted.opens_unasked() => granted.closed(reason),
            Some(reason) if granted.is_held() => granted.exposed(reason),
            _ => return Err(refusal.error),
        };
    }
}

fn attempt(
    app: &App,
    backend: &Backend,
    agent: &Agent,
    granted: Granted,
    wishes: &StartOptions,
    stage: &Path,
) -> Result<Prepared, Refusal> {
    let bottle = &granted.bottle;
    let mut egress = Egress::find(&app.invocation, agent, bottle).map_err(without_roots)?;
    egress.ask |= wishes.asks;
    let token = granted.readable.as_ref().map(|token| token.entry.name.clone());
    let wishes = &StartOptions { token, ..wishes.clone() };
    let mut spec = spec::build(&app.invocation, agent, bottle, &egress, wishes, stage.to_owned())
        .map_err(CliError::from)?;
    own_skill::enter(backend, agent, &mut spec).map_err(CliError::from)?;
    capabilities::check(backend, agent, bottle, &spec)?;
    secrets::check(&app.invocation, bottle)?;
    let plan = prepare(backend, &spec).map_err(|failure| {
        let is_closed = intercept::is_refusal(&failure)
            .then(|| format!("the {} backend makes no bottle trust the guard within HTTPS", backend.name()));
        let failure = tools::locate(bottle, backend.name(), failure);
        let failure = claude_files::locate(agent, backend.name(), failure);
        let failure = intercept::locate(bottle, &egress.policy, backend.name(), failure);
        let failure = profile::home::locate(agent, backend.name(), failure);
        let error = wishes.options.locate(backend.name(), failure).into();
        Refusal { error, is_closed }
    })?;
    Ok(Prepared { granted, egress, spec, plan })
}

fn without_roots(error: anyhow::Error) -> Refusal {
    let is_closed = matches!(error.downcast_ref(), Some(RootsError::None)).then(|| error.to_string());
    Refusal { error: error.into(), is_closed }
}

fn prepare(backend: &Backend, spec: &Spec) -> Result<Plan, Failure> {
    let spec = spec.clone();
    let plan = backend.call(Verb::PREPARE, move |opened, call| opened.prepare(call, &spec))?;
    backend.progress().clear();
    Ok(plan)
}
