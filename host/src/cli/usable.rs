//! Which backends work here: each is loaded and asked.

use claude_bottle_plugin_api::{Health, Probe};

use super::App;
use super::app::Calls;
use crate::error::{CliError, CliResult, Exit};
use crate::plugins::registry;
use crate::run::backend::Verb;

/// Returns `true` if bottles can be made, perhaps with warnings.
pub(super) fn is_usable(health: Health) -> bool {
    matches!(health, Health::Usable | Health::Degraded)
}

/// Returns the backends that are found, and the named one in any case.
pub(super) fn names(app: &App, named: &str) -> CliResult<Vec<String>> {
    let entries = registry::list(&app.search_path(), &app.pins()?);
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    if !names.iter().any(|name| name == named) {
        names.push(named.to_owned());
    }
    Ok(names)
}

/// Asks a backend; one that cannot be asked is not usable, and the error's hints say what to do.
pub(super) fn probe(app: &App, name: &str, calls: &Calls) -> (Probe, Vec<String>) {
    let probed = app
        .open(name, calls)
        .and_then(|backend| Ok(backend.call(Verb::PROBE, |opened, call| opened.probe(call))?));
    match probed {
        Ok(probe) => (probe, Vec::new()),
        Err(error) => {
            let mut hints = error.hints;
            // The last one is the command; those before it say what was found.
            let remedy = hints.pop().unwrap_or_default();
            (Probe::unusable(format!("{:#}", error.error), remedy), hints)
        }
    }
}

/// Returns `true` if a backend works here.
pub(super) fn works(app: &App, name: &str, calls: &Calls) -> bool {
    is_usable(probe(app, name, calls).0.health)
}

/// Returns the first other backend that works here.
pub(super) fn other_than(app: &App, name: &str, calls: &Calls) -> CliResult<Option<String>> {
    let others = names(app, name)?.into_iter().filter(|other| other != name);
    Ok(others.into_iter().find(|other| works(app, other, calls)))
}

/// Says how to take another backend.
pub(super) fn how_to_take(other: &str) -> String {
    format!(
        "{other} works here: add --backend {other}, or for every command: export CLAUDE_BOTTLE_BACKEND={other}"
    )
}

/// Adds to a failed start which other backend works here, if the one that was asked for does not work at all.
pub(super) fn or_elsewhere(app: &App, backend: &str, calls: &Calls, error: CliError) -> CliError {
    if error.exit == Exit::Interrupted || works(app, backend, calls) {
        return error;
    }
    match other_than(app, backend, calls) {
        Ok(Some(other)) => error.hint(how_to_take(&other)),
        // What went wrong is told already.
        _ => error,
    }
}
