//! `plugin check`: every rule of the contract, each in a process of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, ExitCode};

use anyhow::Context;
use claude_bottle_plugin_api::Spec;
use claude_bottle_plugin_api::kit::{CaseResult, Outcome, Report, cases};
use serde_json::Value;

use super::case::{Named, Order, Work, start};
use super::{App, Format, usage};
use crate::egress::Egress;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Locations, Manifest};
use crate::profile::Profiles;
use crate::run::spec::{self, StartOptions};
use crate::trust::Trust;
use crate::ui::clean;
use crate::ui::interrupt::Interrupt;

/// What stands for the title of a case that said nothing, not even that.
const CRASHED: &str = "the process that runs the case survives it";
const NOT_RUN: &str = "left out";

/// The one agent of the bottle that is made: it is granted nothing beyond the defaults.
const MANIFEST: &str = "bottles:\n  kit: {}\nagents:\n  kit: { bottle: kit, command: [sh] }\n";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle plugin check target/debug/libclaude_bottle_backend_shed.so
  claude-bottle plugin check docker --skip leaks
  claude-bottle plugin check shed --setting SHED_URL=unix:///run/shed.sock

Bottles are made and removed again. Exits 0 when no rule is broken, and 1 otherwise.")]
pub(super) struct Args {
    /// The plug-in: a file, or a backend's name
    #[arg(value_name = "FILE.so|NAME")]
    plugin: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// A case to leave out; may be repeated
    #[arg(long, value_name = "CASE")]
    skip: Vec<String>,
    /// A setting, as CLAUDE_BOTTLE_K in the environment would be; may be repeated
    #[arg(long, value_name = "K=V", value_parser = setting)]
    setting: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE")?;
    Ok((name.strip_prefix("CLAUDE_BOTTLE_").unwrap_or(name).to_owned(), value.to_owned()))
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    if let Some(unknown) = args.skip.iter().find(|id| !cases().any(|case| case == id.as_str())) {
        return Err(usage(format!("there is no case `{unknown}`"))
            .hint(format!("cases: {}", cases().collect::<Vec<_>>().join(", "))));
    }
    let plugin = Named::new(&args.plugin);
    let note = plugin.load(app)?.note;
    let scratch =
        tempfile::Builder::new().prefix("claude-bottle-").tempdir().context("cannot make a directory")?;
    let mut invocation = app.invocation.clone();
    invocation.settings.extend(args.setting.iter().cloned());
    let spec = default_spec(&invocation, scratch.path())?;
    let bench = Bench { app, plugin, spec, settings: invocation.settings.into_iter().collect(), args };
    let interrupt = Interrupt::install()?;
    let mut results = Vec::new();
    for id in cases() {
        results.push(bench.result(id, scratch.path())?);
        if interrupt.triggered() {
            return Err(CliError::new(Exit::Interrupted, format!("interrupted in case `{id}`"))
                .hint("see what it left behind: claude-bottle cleanup --dry-run"));
        }
    }
    let report = Report { name: note.name, version: note.version, contract: note.contract, cases: results };
    match args.format {
        Format::Json => app.ui.json(&report)?,
        Format::Text => app.ui.data(&clean(&report.to_string())),
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

/// Builds what `start` would hand to the backend for a bottle that says nothing.
fn default_spec(invocation: &crate::environment::Invocation, scratch: &Path) -> CliResult<Spec> {
    fs::write(scratch.join("claude-bottle.yaml"), MANIFEST).context("cannot write a manifest")?;
    let locations = Locations {
        home: scratch.to_owned(),
        own: scratch.to_owned(),
        cwd: scratch.to_owned(),
        above: 0,
        profiles: Profiles::default(),
    };
    let manifest = Manifest::load(&locations, &Trust::open(scratch)?)?;
    let (Some(agent), Some(bottle)) = (manifest.agents().next(), manifest.bottle("kit")) else {
        return Err(CliError::new(Exit::Bug, "the kit's manifest has no agent"));
    };
    // A plug-in of an earlier contract passes too.
    let mut bottle = bottle.clone();
    bottle.egress.intercept.relax();
    let bottle = &bottle;
    let egress = Egress::find(invocation, agent, bottle)?;
    let wishes = StartOptions::default();
    let mut spec = spec::build(invocation, agent, bottle, &egress, &wishes, scratch.to_owned())?;
    // The user's own token is none of the kit's business.
    spec.bottle.env.clear();
    Ok(spec)
}

/// What every case needs.
struct Bench<'a> {
    app: &'a App,
    plugin: Named,
    spec: Spec,
    settings: Vec<(String, String)>,
    args: &'a Args,
}

impl Bench<'_> {
    fn result(&self, id: &'static str, scratch: &Path) -> CliResult<CaseResult> {
        // The kit's filter takes every case whose name contains a text, so the case cannot run without those.
        if let Some(skipped) = self.args.skip.iter().find(|skipped| skipped.contains(id)) {
            let reason = if skipped == id {
                "--skip names it".to_owned()
            } else {
                format!("it runs together with `{skipped}`, which is to be left out")
            };
            return Ok(CaseResult { id, title: NOT_RUN, outcome: Outcome::Skip { reason }, millis: 0 });
        }
        let scratch = scratch.join(id);
        fs::create_dir(&scratch).context("cannot make a directory")?;
        let work = Work::Case {
            id: id.to_owned(),
            spec: Box::new(self.spec.clone()),
            settings: self.settings.clone(),
            scratch,
        };
        let order = Order { plugin: self.plugin.clone(), work };
        let output = start(&self.app.invocation.exe, &order)
            .and_then(Child::wait_with_output)
            .with_context(|| format!("cannot start a process for case `{id}`"))?;
        Ok(serde_json::from_slice(&output.stdout).ok().and_then(|answer| read(id, &answer)).unwrap_or_else(
            || CaseResult {
                id,
                title: CRASHED,
                outcome: Outcome::Fail {
                    detail: format!("the process that ran it ended without an answer: {}", output.status),
                },
                millis: 0,
            },
        ))
    }
}

/// Reads a result; `None` for what is none.
fn read(id: &'static str, answer: &Value) -> Option<CaseResult> {
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    let outcome = match answer["outcome"].as_str()? {
        "pass" => Outcome::Pass,
        "fail" => Outcome::Fail { detail: text("detail")? },
        "skip" => Outcome::Skip { reason: text("reason")? },
        _ => return None,
    };
    // The kit's titles live as long as the program; so do these few.
    let title = text("title")?.leak();
    Some(CaseResult { id, title, outcome, millis: answer["millis"].as_u64()? })
}
