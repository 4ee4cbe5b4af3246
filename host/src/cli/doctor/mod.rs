//! `doctor`: which backends work here, which agents could start and, where one does not, what to do.

mod agents;
mod checks;
mod disk;

use std::process::ExitCode;

use claude_bottle_plugin_api::{Health, Probe};
use serde::Serialize;

use self::agents::Refused;
use self::checks::Check;
use super::app::Calls;
use super::usable::{self, is_usable, probe};
use super::{App, Format};
use crate::error::{CliResult, Exit};
use crate::manifest::Manifest;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle doctor
  claude-bottle doctor --format json | jq -r '.[] | select(.health == \"usable\") | .backend'

Looks at what a start needs: backends, the manifest and its agents, a token for each, the disk. What is
missing comes with what to do. Exits 0 when every agent can be started in the selected backend: that of
CLAUDE_BOTTLE_BACKEND, else of config.yaml, else docker. A warning changes nothing about that. What a
bottle keeps from its agent here is tried by: claude-bottle verify AGENT")]
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
    /// What else a start needs, with the selected backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
    /// Another backend that works here, when this is the selected one and does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
}

impl Finding {
    /// Returns `true` if every agent can be started in it.
    fn is_enough(&self) -> bool {
        is_usable(self.probe.health) && self.agents.is_empty() && !self.checks.iter().any(Check::is_failed)
    }
}

/// Exits 0 when every agent can be started in the selected backend.
pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let calls = Calls::new(app)?;
    let selected = app.backend_name(None);
    let manifest = app.manifest();
    let mut findings = Vec::new();
    for name in usable::names(app, selected)? {
        findings.push(finding(app, name, &calls, &manifest));
    }
    calls.progress.clear();
    let works = |finding: &&Finding| is_usable(finding.probe.health);
    let other = findings.iter().find(works).map(|finding| finding.backend.clone());
    if let Some(finding) = findings.iter_mut().find(|finding| finding.selected) {
        finding.instead = other.filter(|_| !is_usable(finding.probe.health));
        finding.checks = checks::all(app, &manifest);
    }
    match args.format {
        Format::Json => app.ui.json(&findings)?,
        Format::Text => tell(app, &findings),
    }
    let is_enough = findings.iter().any(|finding| finding.selected && finding.is_enough());
    Ok(if is_enough { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

fn finding(app: &App, backend: String, calls: &Calls, manifest: &CliResult<Manifest>) -> Finding {
    let (probe, hints) = probe(app, &backend, calls);
    let selected = backend == app.backend_name(None);
    let agents = match manifest {
        Ok(manifest) if selected && is_usable(probe.health) => {
            agents::refused(app, &backend, calls, manifest)
        }
        _ => Vec::new(),
    };
    Finding { backend, selected, probe, hints, agents, checks: Vec::new(), instead: None }
}

/// Prints each backend, and then, each in a line, what else a start needs.
fn tell(app: &App, findings: &[Finding]) {
    findings.iter().for_each(|finding| app.ui.data(&describe(finding)));
    for finding in findings.iter().filter(|finding| finding.selected) {
        let lines: Vec<_> = finding.checks.iter().flat_map(Check::lines).collect();
        app.ui.data(&crate::ui::clean(&lines.join("\n")));
        if let Some(other) = &finding.instead {
            let name = &finding.backend;
            app.ui.data(&format!(
                "{name} does not work here, and {other} does: export CLAUDE_BOTTLE_BACKEND={other}"
            ));
        }
    }
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
