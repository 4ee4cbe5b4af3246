//! `secret set`: another value for a secret that the guard of a running bottle holds. The agent keeps its placeholder.
//!
//! Invariant: the value is typed or read from standard input, and is in no argument, file, message or log.

use std::io::IsTerminal;
use std::sync::Arc;

use claude_bottle_plugin_api::{Bottle, Capability, Failure, FailureKind, ReloadRequest, Secret};

use crate::cli::App;
use crate::cli::app::Calls;
use crate::cli::policy::running::only;
use crate::egress::live::LivePolicy;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::listed;
use crate::run::backend::{Backend, Verb};
use crate::run::plugin_services::Secrets;
use crate::run::records::Record;
use crate::run::values;
use crate::ui::interrupt::Interrupt;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle secret set dev GITHUB_TOKEN                  asks for it, and shows nothing of it
  gh auth token | claude-bottle secret set dev GITHUB_TOKEN

It counts for every request from now on, until the bottle ends; the agent notices nothing of it.")]
pub(super) struct SetArgs {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// The secret, as the plan names it
    #[arg(value_name = "NAME")]
    name: String,
}

/// The one value that a call is given.
struct Value {
    name: String,
    value: Secret,
}

impl Secrets for Value {
    fn get(&self, name: &str) -> Option<Secret> {
        (name == self.name).then(|| Secret::new(self.value.expose().to_vec()))
    }
}

pub(super) fn run(app: &App, args: &SetArgs) -> CliResult {
    let (run, bottle) = only(app, &args.bottle)?;
    let dir = app.runs().dir(&run.id);
    check_held(&LivePolicy::read(&dir, &run)?, &run, &args.name)?;
    let calls = Calls::new(app)?;
    let mut backend = app.open(&run.backend, &calls)?;
    if !backend.offers(&Capability::RELOAD) {
        return Err(unable(&backend));
    }
    let value = read(app, &args.name, &calls.interrupt)?;
    backend.grant(Arc::new(Value { name: args.name.clone(), value }));
    let _lock = LivePolicy::lock(&dir)?;
    send(&backend, &bottle, &args.name)?;
    calls.progress.clear();
    app.ui.status(&format!("{} gets the new value of {} from now on", run.name, args.name));
    Ok(())
}

/// Fails for what the bottle's guard does not hold, and names what it does.
fn check_held(live: &LivePolicy, run: &Record, name: &str) -> CliResult {
    let mut names: Vec<_> = live.policy().secrets.iter().map(|held| held.name.as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    names.dedup();
    let holds = if names.is_empty() { "none".to_owned() } else { listed(names) };
    let message = format!("the guard of `{}` holds no secret `{name}`; it holds {holds}", run.name);
    Err(CliError::new(Exit::Failed, message)
        .hint("what is in `env` the agent has, and nothing changes it while it runs"))
}

/// Reads the value: typed on the terminal without being shown, or else all of standard input.
fn read(app: &App, name: &str, interrupt: &Interrupt) -> CliResult<Secret> {
    let failed =
        |source| anyhow::Error::new(source).context(format!("cannot take the new value of `{name}`"));
    if !std::io::stdin().is_terminal() {
        return Ok(values::of_reader(std::io::stdin().lock()).map_err(failed)?);
    }
    let answer = app.ui.ask_secret(&format!("new value of {name}"), interrupt)?;
    let mut answer = answer.ok_or_else(|| CliError::new(Exit::Interrupted, "interrupted"))?;
    let value = Secret::new(std::mem::take(&mut *answer));
    values::check(&value).map_err(failed)?;
    Ok(value)
}

fn send(backend: &Backend, bottle: &Bottle, name: &str) -> CliResult {
    let (bottle, request) = (bottle.clone(), ReloadRequest::of_secret(name));
    let answer = backend.call(Verb::RELOAD, move |opened, call| opened.reload(call, &bottle, &request));
    match answer {
        Ok(answer) if answer.applied => Ok(()),
        Ok(_) => {
            let message = format!("the backend `{}` does not say that the value counts", backend.name());
            Err(Failure::new(FailureKind::Unreachable, message).into())
        }
        Err(failure) => Err(failure.into()),
    }
}

fn unable(backend: &Backend) -> CliError {
    let message = format!("the {} backend cannot change a secret of a running bottle", backend.name());
    CliError::new(Exit::Failed, message).hint("start the bottle again")
}
