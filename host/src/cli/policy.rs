//! `policy check`: may an agent reach a host, and by which rule; answered from the effective policy, before any launch.

use std::process::ExitCode;

use claude_bottle_egress_policy::{Code, Scheme, parse_authority};
use claude_bottle_plugin_api::Proxy;
use serde::Serialize;

use super::afterwards::how_to_allow;
use super::info::resolve;
use super::{App, Format, usage};
use crate::egress::summary::Target;
use crate::egress::{choose_proxy, effective_policy};
use crate::error::{CliResult, Exit};
use crate::manifest::Bottle;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether an agent may reach a host, and by which rule
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy check dev github.com         a tunnel to port 443, as for https
  claude-bottle policy check dev git.example:22
  claude-bottle policy check dev deb.debian.org --http
  claude-bottle policy check dev pypi.org --format json

The answer comes from the whole effective policy, before any launch: the defaults, the bottle's
allowlist, its SSH hosts. Exits 0 when the agent may and 1 when it may not.")]
struct CheckArgs {
    /// The agent, as the manifest names it
    agent: String,
    /// The host, with a port unless it is 443
    #[arg(value_name = "HOST[:PORT]")]
    target: String,
    /// Ask for plain HTTP instead of a tunnel; the port is then 80 unless given
    #[arg(long)]
    http: bool,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The answer. Its keys are a contract.
#[derive(Serialize)]
struct AnswerView<'a> {
    agent: &'a str,
    host: String,
    port: u16,
    allowed: bool,
    code: &'static str,
    rule: Option<&'a str>,
    origin: Option<&'a str>,
    reason: &'a str,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let What::Check(args) = &args.what;
    let manifest = app.manifest()?;
    let (_, bottle) = resolve(&manifest, &args.agent)?;
    let (scheme, default_port) = if args.http { (Scheme::Http, 80) } else { (Scheme::Connect, 443) };
    let (host, port) = parse_authority(&args.target, Some(default_port))
        .map_err(|error| usage(format!("`{}` is no HOST[:PORT]: {error}", args.target)))?;
    let decision = effective_policy(bottle)?.decide(&host, port, scheme);
    let view = AnswerView {
        agent: &args.agent,
        host: host.to_string(),
        port,
        allowed: decision.is_allowed(),
        code: decision.code.as_str(),
        rule: decision.rule.as_deref(),
        origin: decision.origin.as_deref(),
        reason: &decision.reason,
    };
    match args.format {
        Format::Json => app.ui.json(&view)?,
        Format::Text => app.ui.data(&describe(&view, advice(app, bottle, &view, scheme, decision.code))),
    }
    if is_pipelock(app, bottle) {
        app.ui.warning(
            "this bottle's proxy is pipelock, which knows no ports: it allows an allowed host on any of them",
        );
    }
    Ok(if view.allowed { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

fn is_pipelock(app: &App, bottle: &Bottle) -> bool {
    choose_proxy(bottle, app.invocation.setting("PIPELOCK_IMAGE")) == Proxy::Pipelock
}

/// Returns the rule that would allow it and where it goes; when no rule would, what the guard advises.
fn advice(app: &App, bottle: &Bottle, view: &AnswerView<'_>, scheme: Scheme, code: Code) -> Option<String> {
    if view.allowed {
        return None;
    }
    let (host, tunnel) = (view.host.clone(), scheme == Scheme::Connect);
    let code_text = view.code.to_owned();
    let knows_ports = !is_pipelock(app, bottle);
    let target = Target { count: 1, host, port: view.port, tunnel, code: code_text, knows_ports };
    let rules: Vec<_> = target.rule().into_iter().collect();
    Some(how_to_allow(app, bottle, &rules).unwrap_or_else(|| code.hint().to_owned()))
}

fn describe(view: &AnswerView<'_>, advice: Option<String>) -> String {
    let verdict = if view.allowed { "allowed" } else { "refused" };
    let mut lines = vec![format!("{verdict}: {}", view.reason)];
    if let (Some(rule), Some(origin)) = (view.rule, view.origin) {
        lines.push(format!("rule: {rule} ({origin})"));
    }
    lines.extend(advice.map(|advice| format!("hint: {advice}")));
    lines.join("\n")
}
