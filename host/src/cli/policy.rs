//! `policy check`: may an agent reach a host, and by which rule; answered from the effective policy: the manifest's, or that of
//! the bottle that is running.

use std::process::ExitCode;

use claude_bottle_egress_policy::{Code, Decision, HostOrIp, Policy, Scheme, parse_authority};
use claude_bottle_plugin_api::Proxy;
use serde::Serialize;

use super::info::resolve;
use super::report::how_to_allow;
use super::{App, Format, usage};
use crate::egress::summary::Target;
use crate::egress::{choose_proxy, effective_policy, read_policy};
use crate::error::{CliResult, Exit};
use crate::manifest::Bottle;
use crate::run::owner;
use crate::run::records::{Phase, Record};

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

The answer comes from the whole effective policy: the defaults, the bottle's allowlist, its SSH
hosts. A bottle that is running answers with the policy it was started with. Exits 0 when the
agent may and 1 when it may not.")]
struct CheckArgs {
    /// The agent, as the manifest names it, or a bottle that is running
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
    /// The bottle whose policy answers; none before a launch, when the manifest does.
    running: Option<&'a str>,
    host: String,
    port: u16,
    allowed: bool,
    /// What the manifest says now, when a running bottle has answered.
    manifest_allowed: Option<bool>,
    code: &'static str,
    rule: Option<&'a str>,
    origin: Option<&'a str>,
    reason: &'a str,
}

/// What is asked.
struct Question {
    host: HostOrIp,
    port: u16,
    scheme: Scheme,
}

impl Question {
    fn answer(&self, policy: &Policy) -> Decision {
        policy.decide(&self.host, self.port, self.scheme)
    }
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let What::Check(args) = &args.what;
    let (scheme, default_port) = if args.http { (Scheme::Http, 80) } else { (Scheme::Connect, 443) };
    let (host, port) = parse_authority(&args.target, Some(default_port))
        .map_err(|error| usage(format!("`{}` is not a HOST[:PORT]: {error}", args.target)))?;
    let question = Question { host, port, scheme };
    let runs = live_runs(app, &args.agent)?;
    match runs.as_slice() {
        [run] => ask_bottle(app, args, &question, run),
        _ => ask_manifest(app, args, &question, &runs),
    }
}

/// Returns the runs that the name means and that go on: one of the bottle or run of that name, else those of the agent.
fn live_runs(app: &App, name: &str) -> CliResult<Vec<Record>> {
    let mut runs = app.runs().all()?;
    runs.retain(|run| {
        !matches!(run.phase, Phase::Unsaved | Phase::Ended) && owner::is_alive(&run.owner) != Ok(false)
    });
    runs.retain(|run| run.policy.is_some());
    let is_named = |run: &Record| run.name == name || run.id == name;
    if runs.iter().any(is_named) {
        runs.retain(is_named);
    } else {
        runs.retain(|run| run.agent == name);
    }
    Ok(runs)
}

fn policy_of(run: &Record) -> CliResult<Policy> {
    Ok(read_policy(run.policy.as_deref().unwrap_or_default())?)
}

/// Answers from the policy that a bottle was started with, and says when the manifest differs by now.
fn ask_bottle(app: &App, args: &CheckArgs, question: &Question, run: &Record) -> CliResult<ExitCode> {
    let decision = question.answer(&policy_of(run)?);
    let manifest = app.manifest().ok();
    let bottle = manifest.as_ref().and_then(|manifest| Some(resolve(manifest, &run.agent).ok()?.1));
    let now = bottle.map(effective_policy).transpose()?.map(|policy| question.answer(&policy).is_allowed());
    let mut view = view(&run.agent, question, &decision);
    (view.running, view.manifest_allowed) = (Some(run.name.as_str()), now);
    let differs = now.filter(|now| *now != view.allowed);
    let advice = match (differs, bottle) {
        (None, Some(bottle)) => advice(app, bottle, &view, question.scheme, decision.code),
        _ => None,
    };
    tell(app, args, &view, advice)?;
    if let Some(now) = differs {
        let (says, gets) = if now { ("allows it", "may") } else { ("refuses it", "may not") };
        app.ui.warning(&format!(
            "the manifest {says} by now; a new bottle of `{}` {gets}, and `{}` keeps what it was started with",
            run.agent, run.name
        ));
    }
    Ok(exit(&view))
}

/// Answers from the manifest, and names the running bottles that answer otherwise.
fn ask_manifest(app: &App, args: &CheckArgs, question: &Question, runs: &[Record]) -> CliResult<ExitCode> {
    let manifest = app.manifest()?;
    let (_, bottle) = resolve(&manifest, &args.agent)?;
    let decision = question.answer(&effective_policy(bottle)?);
    let view = view(&args.agent, question, &decision);
    tell(app, args, &view, advice(app, bottle, &view, question.scheme, decision.code))?;
    for run in runs {
        if question.answer(&policy_of(run)?).is_allowed() != view.allowed {
            let does = if view.allowed { "refuses" } else { "allows" };
            let text =
                format!("the running bottle `{}` was started with another policy, which {does} it", run.name);
            app.ui.warning(&text);
        }
    }
    if is_pipelock(app, bottle) {
        app.ui.warning(
            "this bottle's proxy is pipelock, which knows no ports: it allows an allowed host on any of them",
        );
    }
    Ok(exit(&view))
}

fn view<'a>(agent: &'a str, question: &Question, decision: &'a Decision) -> AnswerView<'a> {
    AnswerView {
        agent,
        running: None,
        host: question.host.to_string(),
        port: question.port,
        allowed: decision.is_allowed(),
        manifest_allowed: None,
        code: decision.code.as_str(),
        rule: decision.rule.as_deref(),
        origin: decision.origin.as_deref(),
        reason: &decision.reason,
    }
}

fn tell(app: &App, args: &CheckArgs, view: &AnswerView<'_>, advice: Option<String>) -> CliResult {
    match args.format {
        Format::Json => Ok(app.ui.json(view)?),
        Format::Text => {
            app.ui.data(&describe(view, advice));
            Ok(())
        }
    }
}

fn exit(view: &AnswerView<'_>) -> ExitCode {
    if view.allowed { ExitCode::SUCCESS } else { Exit::Failed.into() }
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
    lines.extend(view.running.map(|name| format!("bottle: {name}, as it was started")));
    if let (Some(rule), Some(origin)) = (view.rule, view.origin) {
        lines.push(format!("rule: {rule} ({origin})"));
    }
    lines.extend(advice.map(|advice| format!("hint: {advice}")));
    lines.join("\n")
}
