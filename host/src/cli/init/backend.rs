//! Which backend the new agent can be started in, found by asking them.

use claude_bottle_plugin_api::Probe;

use super::super::app::Calls;
use super::super::{App, usable};
use super::questions::ask_until;
use crate::error::CliResult;
use crate::manifest::listed;

/// A backend, and whether it works here.
pub(super) struct Choice {
    name: String,
    works: bool,
    /// Whether `start` takes it unasked.
    is_selected: bool,
}

impl Choice {
    /// Returns what to add to `start` so that it takes this backend.
    pub(super) fn flag(&self) -> String {
        if self.is_selected { String::new() } else { format!(" --backend {}", self.name) }
    }

    /// Returns `true` if a bottle can be made.
    pub(super) fn works(&self) -> bool {
        self.works
    }
}

/// Finds the backend: the one that is named, else the selected one if it works, else another that does. Where several work
/// and the user is there to be asked, the user chooses; `None` means that the user gave up.
pub(super) fn choose(app: &App, calls: &Calls, named: Option<&str>, asks: bool) -> CliResult<Option<Choice>> {
    let selected = app.backend_name(None).to_owned();
    let choice = |name: String, works: bool| Choice { is_selected: name == selected, name, works };
    if let Some(named) = named {
        app.open(named, calls)?;
        let (probe, _) = usable::probe(app, named, calls);
        warn(app, named, &probe);
        return Ok(Some(choice(named.to_owned(), usable::is_usable(probe.health))));
    }
    let (probe, _) = usable::probe(app, &selected, calls);
    let mut working: Vec<String> =
        usable::is_usable(probe.health).then(|| selected.clone()).into_iter().collect();
    if working.is_empty() || asks {
        let others = usable::names(app, &selected)?.into_iter().filter(|name| *name != selected);
        working.extend(others.filter(|name| usable::works(app, name, calls)));
    }
    calls.progress.clear();
    match &working[..] {
        [] => {
            warn(app, &selected, &probe);
            Ok(Some(choice(selected.clone(), false)))
        }
        [first, _, ..] if asks => ask(app, calls, first, &working, choice),
        [first, ..] => {
            if *first != selected {
                app.ui.status(&format!("{selected} does not work here, and {first} does"));
            }
            Ok(Some(choice(first.clone(), true)))
        }
    }
}

fn ask(
    app: &App,
    calls: &Calls,
    default: &str,
    working: &[String],
    choice: impl Fn(String, bool) -> Choice,
) -> CliResult<Option<Choice>> {
    let names = || working.iter().map(String::as_str);
    app.ui.status(&format!("backends that work here: {}", listed(names())));
    let valid = |answer: &str| match names().any(|name| name == answer) {
        true => Ok(()),
        false => Err(format!("`{answer}` does not work here")),
    };
    let answer = ask_until(app, "backend", default, &calls.interrupt, valid)?;
    Ok(answer.map(|name| choice(name, true)))
}

/// Says why a backend does not work, and what to do.
fn warn(app: &App, name: &str, probe: &Probe) {
    if !usable::is_usable(probe.health) {
        let reason = probe.reason.as_deref().unwrap_or("it does not say why");
        app.ui.warning(&format!("{name} does not work here: {reason}"));
    }
}
