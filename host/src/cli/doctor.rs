//! `doctor`: which backends work here and, where one does not, what mends it.

use std::process::ExitCode;

use claude_bottle_plugin_api::{Health, Probe};
use serde::Serialize;

use super::open::Calls;
use super::{App, Format};
use crate::backend::Verb;
use crate::error::{CliResult, Exit};
use crate::plugins::registry;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What is known of one backend.
#[derive(Serialize)]
struct Finding {
    backend: String,
    selected: bool,
    #[serde(flatten)]
    probe: Probe,
}

/// Exits 0 when the selected backend can be used.
pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let calls = Calls::new(app)?;
    let selected = app.backend_name(None);
    let entries = registry::list(&app.search_path(), &app.pins()?);
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    if !names.iter().any(|name| name == selected) {
        names.push(selected.to_owned());
    }
    let findings: Vec<Finding> = names
        .into_iter()
        .map(|name| Finding { selected: name == selected, probe: probe(app, &name, &calls), backend: name })
        .collect();
    calls.progress.clear();
    match args.format {
        Format::Json => app.ui.json(&findings)?,
        Format::Text => findings.iter().for_each(|finding| app.ui.data(&describe(finding))),
    }
    let usable = |finding: &Finding| finding.selected && is_usable(finding.probe.health);
    Ok(if findings.iter().any(usable) { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

fn is_usable(health: Health) -> bool {
    matches!(health, Health::Usable | Health::Degraded)
}

fn probe(app: &App, name: &str, calls: &Calls) -> Probe {
    let probed = app
        .open(name, calls)
        .and_then(|backend| Ok(backend.call(Verb::PROBE, |opened, call| opened.probe(call))?));
    probed.unwrap_or_else(|error| {
        Probe::unusable(format!("{:#}", error.error), error.hints.first().cloned().unwrap_or_default())
    })
}

fn describe(finding: &Finding) -> String {
    let probe = &finding.probe;
    let state = match probe.health {
        Health::Usable => "usable",
        Health::Degraded => "usable, with warnings",
        _ => "not usable",
    };
    let selected = if finding.selected { " (selected)" } else { "" };
    let mut lines = vec![format!("{}{selected}: {state}", finding.backend)];
    lines.extend(probe.reason.iter().map(|reason| format!("  why: {reason}")));
    lines
        .extend(probe.remedy.iter().filter(|text| !text.is_empty()).map(|text| format!("  do this: {text}")));
    lines.extend(probe.facts.iter().map(|fact| format!("  {}: {}", fact.label, fact.value)));
    lines.extend(probe.warnings.iter().map(|text| format!("  warning: {text}")));
    crate::ui::clean(&lines.join("\n")).into_owned()
}
