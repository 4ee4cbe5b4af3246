//! `policy check`: may an agent reach a host, and by which rule; answered from the effective policy: the manifest's, or that of
//! the bottle that is running, as it is by now.

use std::process::ExitCode;

use claude_bottle_egress_policy::{Asked, Code, Decision, HostOrIp, Policy, Scheme, Url, parse_authority};
use claude_bottle_plugin_api::Proxy;
use serde::Serialize;

use super::running::{known, live_runs};
use crate::cli::info::resolve;
use crate::cli::report::how_to_allow;
use crate::cli::{App, Format, usage};
use crate::egress::live::LivePolicy;
use crate::egress::summary::Target;
use crate::egress::{choose_proxy, effective_like, effective_policy};
use crate::error::{CliResult, Exit};
use crate::manifest::Bottle;
use crate::run::records::Record;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy check dev github.com         a tunnel to port 443, as for https
  claude-bottle policy check dev git.example:22
  claude-bottle policy check dev deb.debian.org --http
  claude-bottle policy check dev http://deb.debian.org/debian/x --method POST
  claude-bottle policy check dev pypi.org --format json

The answer comes from the whole effective policy: the defaults, the bottle's allowlist, its SSH
hosts. A bottle that is running answers with its own policy, as `policy allow` and `policy deny`
have changed it. Exits 0 when the agent may and 1 when it may not.")]
pub(super) struct CheckArgs {
    /// The agent, as the manifest names it, or a bottle that is running
    agent: String,
    /// The host, with a port unless it is 443; or the URL of a request
    #[arg(value_name = "HOST[:PORT]|URL")]
    target: String,
    /// Ask for plain HTTP instead of a tunnel; the port is then 80 unless given
    #[arg(long)]
    http: bool,
    /// The method of the request to the URL [default: GET]
    #[arg(long)]
    method: Option<String>,
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
    /// The method of a request to a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    allowed: bool,
    /// What the manifest says now, when a running bottle has answered.
    manifest_allowed: Option<bool>,
    code: &'static str,
    rule: Option<&'a str>,
    origin: Option<&'a str>,
    reason: &'a str,
    /// Whether the guard looks into HTTPS there, when that is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    https: Option<&'static str>,
}

/// What is asked.
struct Question {
    host: HostOrIp,
    port: u16,
    way: Way,
}

/// How the host would be asked.
enum Way {
    /// By a tunnel, or in plain HTTP, whatever the request.
    Any(Scheme),
    /// By one request.
    Request { is_https: bool, method: String, target: String },
}

/// The port on which nothing but TLS goes.
const HTTPS_PORT: u16 = 443;

impl Question {
    fn parse(args: &CheckArgs) -> CliResult<Self> {
        let target = &args.target;
        if target.contains("://") {
            if args.http {
                return Err(usage("a URL says how it is asked for: leave `--http` out"));
            }
            let url = Url::parse(target)
                .map_err(|error| usage(format!("`{target}` is not a valid URL: {error}")))?;
            let method = args.method.clone().unwrap_or_else(|| "GET".to_owned());
            let way = Way::Request { is_https: url.is_https, method, target: url.target };
            return Ok(Self { host: url.host, port: url.port, way });
        }
        if args.method.is_some() {
            return Err(usage("`--method` is for a request: write the host as a URL, `http://host/path`"));
        }
        let (scheme, default_port) =
            if args.http { (Scheme::Http, 80) } else { (Scheme::Connect, HTTPS_PORT) };
        let (host, port) = parse_authority(target, Some(default_port))
            .map_err(|error| usage(format!("`{target}` is not a HOST[:PORT] or URL: {error}")))?;
        Ok(Self { host, port, way: Way::Any(scheme) })
    }

    fn answer(&self, policy: &Policy) -> Decision {
        let (host, port) = (&self.host, self.port);
        let tunnel = || policy.tunnel(host, port == HTTPS_PORT);
        match &self.way {
            Way::Any(Scheme::Http) => policy.decide(host, port, Scheme::Http),
            Way::Any(Scheme::Connect | Scheme::Https) => policy.decide(host, port, tunnel()),
            Way::Request { is_https, method, target } => {
                let scheme = if *is_https { tunnel() } else { Scheme::Http };
                policy.decide_request(host, port, scheme, Asked { method, target })
            }
        }
    }

    /// Says whether the guard looks into the tunnel; nothing of what is not TLS, or is refused.
    fn https(&self, policy: &Policy, decision: &Decision) -> Option<&'static str> {
        if !self.is_tunnel() || self.port != HTTPS_PORT || !decision.is_allowed() {
            return None;
        }
        Some(if policy.opens(&self.host) { "opened" } else { "unopened" })
    }

    /// Returns `true` if the answer is about a tunnel.
    fn is_tunnel(&self) -> bool {
        match &self.way {
            Way::Any(scheme) => *scheme != Scheme::Http,
            Way::Request { is_https, .. } => *is_https,
        }
    }

    fn method(&self) -> Option<&str> {
        match &self.way {
            Way::Request { method, .. } => Some(method),
            Way::Any(_) => None,
        }
    }
}

pub(super) fn run(app: &App, args: &CheckArgs) -> CliResult<ExitCode> {
    let question = Question::parse(args)?;
    let runs = live_runs(app, &args.agent)?;
    match runs.as_slice() {
        [run] => ask_bottle(app, args, &question, run),
        _ => ask_manifest(app, args, &question, &runs),
    }
}

/// Answers from the policy that a bottle has, and says when the manifest differs by now.
fn ask_bottle(app: &App, args: &CheckArgs, question: &Question, run: &Record) -> CliResult<ExitCode> {
    let live = known(app, run)?;
    let decision = question.answer(live.policy());
    let manifest = app.manifest().ok();
    let found = manifest.as_ref().and_then(|manifest| resolve(manifest, &run.agent).ok());
    let bottle = found.map(|(_, bottle)| bottle);
    let now = found
        .map(|(agent, bottle)| effective_like(agent, bottle, live.policy()))
        .transpose()?
        .map(|policy| question.answer(&policy).is_allowed());
    let mut view = view(&run.agent, question, &decision);
    view.https = question.https(live.policy(), &decision);
    (view.running, view.manifest_allowed) = (Some(run.name.as_str()), now);
    let differs = now.filter(|now| *now != view.allowed);
    let advice = match (differs, bottle) {
        (None, Some(bottle)) => advice(app, bottle, &view, question.is_tunnel(), decision.code),
        _ => None,
    };
    tell(app, args, &view, (advice, is_changed(&live)))?;
    if let Some(now) = differs {
        let (says, gets) = if now { ("allows it", "may") } else { ("refuses it", "may not") };
        let keeps =
            if is_changed(&live) { "has what it was changed to" } else { "keeps what it was started with" };
        app.ui.warning(&format!(
            "the manifest {says} by now; a new bottle of `{}` {gets}, and `{}` {keeps}",
            run.agent, run.name
        ));
    }
    Ok(exit(&view))
}

/// Answers from the manifest, and names the running bottles that answer otherwise.
fn ask_manifest(app: &App, args: &CheckArgs, question: &Question, runs: &[Record]) -> CliResult<ExitCode> {
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, &args.agent)?;
    let policy = effective_policy(Some(agent), &app.granted(agent, bottle).bottle)?;
    let decision = question.answer(&policy);
    let mut view = view(&args.agent, question, &decision);
    view.https = question.https(&policy, &decision);
    tell(app, args, &view, (advice(app, bottle, &view, question.is_tunnel(), decision.code), false))?;
    for run in runs {
        let live = known(app, run)?;
        if question.answer(live.policy()).is_allowed() != view.allowed {
            let does = if view.allowed { "refuses" } else { "allows" };
            let has = if is_changed(&live) { "has" } else { "was started with" };
            let text = format!("the running bottle `{}` {has} another policy, which {does} it", run.name);
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

fn view<'a>(agent: &'a str, question: &'a Question, decision: &'a Decision) -> AnswerView<'a> {
    AnswerView {
        agent,
        running: None,
        host: question.host.to_string(),
        port: question.port,
        method: question.method(),
        allowed: decision.is_allowed(),
        manifest_allowed: None,
        code: decision.code.as_str(),
        rule: decision.rule.as_deref(),
        origin: decision.origin.as_deref(),
        reason: &decision.reason,
        https: None,
    }
}

fn is_changed(live: &LivePolicy) -> bool {
    !live.changes().is_empty()
}

/// Prints the answer, with advice and whether the bottle's policy was changed while it runs.
fn tell(
    app: &App,
    args: &CheckArgs,
    view: &AnswerView<'_>,
    (advice, is_changed): (Option<String>, bool),
) -> CliResult {
    match args.format {
        Format::Json => Ok(app.ui.json(view)?),
        Format::Text => {
            app.ui.data(&describe(view, advice, is_changed));
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
fn advice(app: &App, bottle: &Bottle, view: &AnswerView<'_>, tunnel: bool, code: Code) -> Option<String> {
    if view.allowed {
        return None;
    }
    let host = view.host.clone();
    let code_text = view.code.to_owned();
    let knows_ports = !is_pipelock(app, bottle);
    let target = Target { count: 1, host, port: view.port, tunnel, code: code_text, knows_ports };
    let rules: Vec<_> = target.rule().into_iter().collect();
    Some(how_to_allow(app, bottle, &rules).unwrap_or_else(|| code.hint().to_owned()))
}

fn describe(view: &AnswerView<'_>, advice: Option<String>, is_changed: bool) -> String {
    let verdict = if view.allowed { "allowed" } else { "refused" };
    let mut lines = vec![format!("{verdict}: {}", view.reason)];
    let state = if is_changed { "changed while it runs" } else { "as it was started" };
    lines.extend(view.running.map(|name| format!("bottle: {name}, {state}")));
    if let (Some(rule), Some(origin)) = (view.rule, view.origin) {
        lines.push(format!("rule: {rule} ({origin})"));
    }
    lines.extend(view.https.map(|https| format!("https: {https}")));
    lines.extend(advice.map(|advice| format!("hint: {advice}")));
    lines.join("\n")
}
