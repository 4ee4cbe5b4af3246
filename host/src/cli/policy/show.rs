//! `policy show`: the rules of a running bottle, or of an agent in the manifest, and where each was written.

use claude_bottle_egress_policy::{Policy, Rule};
use serde::Serialize;

use super::running::{known, live_runs};
use crate::cli::info::resolve;
use crate::cli::selection::several;
use crate::cli::{App, Format};
use crate::egress::live::{Change, LivePolicy};
use crate::egress::{effective_like, effective_policy};
use crate::error::CliResult;
use crate::run::records::Record;
use crate::ui::{clean, columns};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy show dev                    of its running bottle, else of the manifest
  claude-bottle policy show claude-bottle-dev-2 --format json")]
pub(super) struct ShowArgs {
    /// The bottle: its name, its run's id, or an agent
    bottle: String,
    /// How the rules are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The rules. Its keys are a contract.
#[derive(Serialize)]
struct PolicyView<'a> {
    agent: &'a str,
    /// The bottle whose policy this is; `null` for that of the manifest.
    running: Option<&'a str>,
    rules: Vec<RuleView>,
    /// What was changed while the bottle runs.
    changes: &'a [Change],
    /// What a new bottle would have that this one has not.
    manifest_change: Option<String>,
}

#[derive(Serialize)]
struct RuleView {
    rule: String,
    origin: String,
    /// When it ends by itself, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip)]
    shown: String,
}

pub(super) fn run(app: &App, args: &ShowArgs) -> CliResult {
    let runs = live_runs(app, &args.bottle)?;
    match runs.as_slice() {
        [run] => show_bottle(app, args, run),
        [] => show_manifest(app, args),
        runs => Err(several(&args.bottle, runs.len())),
    }
}

fn show_bottle(app: &App, args: &ShowArgs, run: &Record) -> CliResult {
    let live = known(app, run)?;
    let manifest_change = manifest_change(app, run, &live)?;
    let view = PolicyView {
        agent: &run.agent,
        running: Some(&run.name),
        rules: rules(live.policy()),
        changes: live.changes(),
        manifest_change,
    };
    if args.format == Format::Json {
        return Ok(app.ui.json(&view)?);
    }
    app.ui.data(&format!("bottle: {}\n\n{}", run.name, table(&view.rules)));
    if !view.changes.is_empty() {
        let lines = view.changes.iter().map(|change| format!("{}  {}", change.time, change.change));
        app.ui.data(&format!("\nchanged while it runs:\n{}", lines.collect::<Vec<_>>().join("\n")));
    }
    if let Some(change) = &view.manifest_change {
        app.ui
            .warning(&format!("the manifest differs; a new bottle of `{}` would have: {change}", run.agent));
    }
    Ok(())
}

/// Says how a new bottle's policy would differ; nothing when the manifest does not say it.
fn manifest_change(app: &App, run: &Record, live: &LivePolicy) -> CliResult<Option<String>> {
    let Ok(manifest) = app.manifest() else { return Ok(None) };
    let Ok((agent, bottle)) = resolve(&manifest, &run.agent) else { return Ok(None) };
    Ok(live.policy().change_to(&effective_like(agent, bottle, live.policy())?))
}

fn show_manifest(app: &App, args: &ShowArgs) -> CliResult {
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, &args.bottle)?;
    let rules = rules(&effective_policy(Some(agent), &app.granted(agent, bottle).bottle)?);
    let view =
        PolicyView { agent: agent.name.as_str(), running: None, rules, changes: &[], manifest_change: None };
    match args.format {
        Format::Json => app.ui.json(&view)?,
        Format::Text => app.ui.data(&table(&view.rules)),
    }
    Ok(())
}

fn rules(policy: &Policy) -> Vec<RuleView> {
    let view = |rule: &Rule| RuleView {
        rule: rule.to_string(),
        origin: rule.origin().to_owned(),
        until: rule.until(),
        shown: rule.with_end(),
    };
    policy.rules.iter().map(view).collect()
}

fn table(rules: &[RuleView]) -> String {
    let rows: Vec<_> =
        rules.iter().map(|rule| [rule.shown.clone(), clean(&rule.origin).into_owned()]).collect();
    columns(["RULE", "FROM"], &rows)
}
