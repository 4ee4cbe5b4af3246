//! `doctor`: which backends work here, which agents could start and, where one does not, what to do.

mod agents;

use std::process::ExitCode;

use claude_bottle_plugin_api::{Health, Probe};
use serde::Serialize;

use self::agents::Refused;
use super::app::Calls;
use super::usable::{self, is_usable, probe};
use super::{App, Format};
use crate::error::{CliResult, Exit};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle doctor
  claude-bottle doctor --format json | jq -r '.[] | select(.health == \"usable\") | .backend'

Exits 0 when the selected backend can be used: CLAUDE_BOTTLE_BACKEND, else docker. An agent of the manifest that
it would refuse to start is named, and the exit code is 1.")]
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
    /// More advice than the one remedy a backend gives.
    hints: Vec<String>,
    /// Agents of the manifest that this backend, when it is the selected one, would refuse to start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agents: Vec<Refused>,
}

/// Exits 0 when the selected backend can be used.
pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let calls = Calls::new(app)?;
    let selected = app.backend_name(None);
    let findings: Vec<Finding> = usable::names(app, selected)?
        .into_iter()
        .map(|name| {
            let (probe, hints) = probe(app, &name, &calls);
            let is_asked = name == selected && is_usable(probe.health);
            let agents = if is_asked { agents::refused(app, &name, &calls) } else { Vec::new() };
            Finding { selected: name == selected, probe, hints, agents, backend: name }
        })
        .collect();
    calls.progress.clear();
    match args.format {
        Format::Json => app.ui.json(&findings)?,
        Format::Text => findings.iter().for_each(|finding| app.ui.data(&describe(finding))),
    }
    let usable =
        |finding: &Finding| finding.selected && is_usable(finding.probe.health) && finding.agents.is_empty();
    Ok(if findings.iter().any(usable) { ExitCode::SUCCESS } else { Exit::Failed.into() })
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
    lines.extend(probe.reason.iter().map(|reason| format!("  reason: {reason}")));
    lines.extend(finding.hints.iter().map(|hint| format!("  note: {hint}")));
    lines.extend(probe.remedy.iter().filter(|text| !text.is_empty()).map(|text| format!("  fix: {text}")));
    lines.extend(probe.facts.iter().map(|fact| format!("  {}: {}", fact.label, fact.value)));
    lines.extend(probe.warnings.iter().map(|text| format!("  warning: {text}")));
    lines.extend(finding.agents.iter().flat_map(Refused::lines));
    crate::ui::clean(&lines.join("\n")).into_owned()
}
