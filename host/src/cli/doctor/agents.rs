//! Which agents of the manifest the selected backend would refuse to start: each is prepared, and nothing is made.

use anyhow::Context;
use serde::Serialize;

use super::super::app::Calls;
use super::super::{App, start};
use crate::error::{CliError, CliResult};
use crate::manifest::{Agent, Manifest};
use crate::run::backend::Backend;
use crate::run::options::Options;
use crate::run::spec::StartOptions;
use crate::{run::owner, run::stage};

/// An agent that would not start.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    agent: String,
    reason: String,
    hints: Vec<String>,
}

impl Refused {
    fn new(agent: &str, error: CliError) -> Self {
        Self { agent: agent.to_owned(), reason: format!("{:#}", error.error), hints: error.hints }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let first = format!("  agent `{}` cannot start: {}", self.agent, self.reason);
        let hints = self.hints.iter().map(|hint| format!("    fix: {hint}"));
        std::iter::once(first).chain(hints).collect()
    }
}

/// Prepares each agent.
pub(super) fn refused(app: &App, backend: &str, calls: &Calls, manifest: &Manifest) -> Vec<Refused> {
    let opened = match app.open(backend, calls) {
        Ok(opened) => opened,
        Err(error) => return vec![Refused::new("*", error)],
    };
    let check = |agent: &Agent| {
        Some(Refused::new(agent.name.as_str(), try_agent(app, &opened, manifest, agent).err()?))
    };
    let broken = manifest.broken().filter_map(|name| {
        let error = CliError::from(manifest.problems_of(name.as_str())?);
        let hint = format!("see what is wrong with it: claude-bottle info {name}");
        Some(Refused::new(name.as_str(), error.hint(hint)))
    });
    broken.chain(manifest.agents().filter_map(check)).collect()
}

fn try_agent(app: &App, backend: &Backend, manifest: &Manifest, agent: &Agent) -> CliResult {
    let Some(bottle) = manifest.bottle(agent.bottle.as_str()) else { return Ok(()) };
    let wishes = StartOptions { options: Options::of(bottle, backend.name()), ..StartOptions::default() };
    let stage = stage::make(&owner::this_process())?;
    start::prepared(app, backend, (agent, bottle), &wishes, stage.path())?;
    stage.close().context("cannot remove the temporary directory")?;
    Ok(())
}
