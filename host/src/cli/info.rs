//! `info`: what an agent is granted, from the manifest alone. Names of variables, never a value.

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::Proxy;
use serde::Serialize;

use super::{App, Format};
use crate::egress::{choose_proxy, effective_policy};
use crate::error::{CliError, CliResult};
use crate::manifest::{Agent, Bottle, EnvSource, Manifest, ResolvedAgent, SecretEntry};
use crate::run::plan_view::InterceptView;
use crate::ui::{clean, columns};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle info dev
  claude-bottle info dev --format json | jq -r '.egress.rules[].rule'

Says where each entry is defined, and never a value. Whether one host is allowed: claude-bottle policy check")]
pub(super) struct Args {
    /// The agent, as the manifest names it
    agent: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct InfoView {
    agent: String,
    defined: String,
    command: Vec<String>,
    skills: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claude: Vec<&'static str>,
    prompt_chars: usize,
    prompt_first_line: String,
    bottle: String,
    bottle_defined: String,
    env: Vec<EnvView>,
    /// Secrets that the guard holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretView>,
    ssh: Vec<SshView>,
    egress: EgressView,
    image: Option<String>,
    tools: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    limits: LimitsView,
    options: Vec<OptionView>,
}

/// A setting for one backend.
#[derive(Serialize)]
struct OptionView {
    backend: String,
    name: String,
    value: serde_json::Value,
    defined: String,
}

/// The whole effective policy.
#[derive(Serialize)]
struct EgressView {
    proxy: &'static str,
    rules: Vec<RuleView>,
    /// Addresses of names, which are then not looked up.
    hosts: Vec<HostView>,
    /// Private ranges that a host may lie in.
    private: Vec<PrivateView>,
    /// Whose HTTPS the guard looks into; nothing where it looks into none.
    #[serde(skip_serializing_if = "Option::is_none")]
    intercept: Option<InterceptView>,
}

#[derive(Serialize)]
struct HostView {
    host: String,
    addresses: Vec<String>,
}

#[derive(Serialize)]
struct PrivateView {
    host: String,
    range: String,
}

/// What the manifest says; nothing means the backend's default.
#[derive(Serialize)]
struct LimitsView {
    cpus: Option<f64>,
    memory_bytes: Option<u64>,
    pids: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_bytes: Option<u64>,
}

#[derive(Serialize)]
struct EnvView {
    name: String,
    from: &'static str,
    defined: String,
}

#[derive(Serialize)]
struct SecretView {
    name: String,
    goes_to: String,
    from: String,
    defined: String,
}

#[derive(Serialize)]
struct SshView {
    host: String,
    target: String,
    identity_file: String,
    defined: String,
}

#[derive(Serialize)]
struct RuleView {
    rule: String,
    origin: String,
}

/// Finds an agent and its bottle; an unknown one lists what there is.
pub(super) fn resolve<'m>(manifest: &'m Manifest, name: &str) -> CliResult<(&'m Agent, &'m Bottle)> {
    if let Some(problems) = manifest.problems_of(name) {
        return Err(problems.into());
    }
    match manifest.agent(name) {
        Ok(ResolvedAgent { agent, bottle }) => Ok((agent, bottle)),
        Err(unknown) => {
            let notes = unknown.notes();
            let error = CliError::from(anyhow::Error::new(unknown));
            Err(notes.into_iter().fold(error, CliError::hint))
        }
    }
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, &args.agent)?;
    let bottle = app.granted(agent, bottle).bottle;
    let egress = egress(app, agent, &bottle)?;
    let view = view(agent, &bottle, egress);
    match args.format {
        Format::Json => app.ui.json(&view)?,
        Format::Text => app.ui.data(&describe(&view)),
    }
    Ok(())
}

fn egress(app: &App, agent: &Agent, bottle: &Bottle) -> CliResult<EgressView> {
    let policy = effective_policy(Some(agent), bottle)?;
    let intercept = InterceptView::new(&policy);
    let Policy { rules, hosts, private, .. } = policy;
    let proxy = match choose_proxy(bottle, app.invocation.setting("PIPELOCK_IMAGE")) {
        Proxy::Pipelock => "pipelock",
        _ => "guard",
    };
    let rules =
        rules.iter().map(|rule| RuleView { rule: rule.to_string(), origin: rule.origin().to_owned() });
    let hosts = hosts.iter().map(|(host, addresses)| HostView {
        host: host.to_string(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    });
    let private = private
        .iter()
        .map(|grant| PrivateView { host: grant.host.to_string(), range: grant.range.to_string() });
    let (rules, hosts, private) = (rules.collect(), hosts.collect(), private.collect());
    Ok(EgressView { proxy, rules, hosts, private, intercept })
}

fn view(agent: &Agent, bottle: &Bottle, egress: EgressView) -> InfoView {
    let env = bottle.env.iter().map(|entry| EnvView {
        name: entry.name.to_string(),
        from: match entry.source {
            EnvSource::Literal(_) => "the manifest",
            EnvSource::Ask { .. } => "asked at launch",
            EnvSource::Host { .. } => "the host's environment",
        },
        defined: entry.origin.to_string(),
    });
    let ssh = bottle.ssh.iter().map(|entry| SshView {
        host: entry.host.clone(),
        target: format!("{}@{}:{}", entry.user, entry.hostname, entry.port),
        identity_file: entry.identity_file.display().to_string(),
        defined: entry.origin.to_string(),
    });
    let options = bottle.options.iter().map(|option| OptionView {
        backend: option.backend.clone(),
        name: option.name.clone(),
        value: option.value.clone(),
        defined: option.origin.to_string(),
    });
    InfoView {
        agent: agent.name.to_string(),
        defined: agent.origin.to_string(),
        command: agent.command.clone(),
        skills: agent.skills.iter().map(|skill| skill.name.to_string()).collect(),
        claude: agent.claude.iter().map(|file| file.name).collect(),
        prompt_chars: agent.prompt.chars().count(),
        prompt_first_line: agent.prompt.lines().next().unwrap_or_default().to_owned(),
        bottle: bottle.name.to_string(),
        bottle_defined: bottle.origin.to_string(),
        env: env.collect(),
        secrets: bottle.secrets.iter().map(secret).collect(),
        ssh: ssh.collect(),
        egress,
        image: bottle.image.clone(),
        tools: bottle.tools.iter().map(|tool| tool.path.display().to_string()).collect(),
        user: bottle.user.clone(),
        limits: LimitsView {
            cpus: bottle.limits.cpus,
            memory_bytes: bottle.limits.memory_bytes,
            pids: bottle.limits.pids,
            shm_bytes: bottle.limits.shm_bytes,
        },
        options: options.collect(),
    }
}

fn secret(secret: &SecretEntry) -> SecretView {
    SecretView {
        name: secret.name.to_string(),
        goes_to: secret.goes_to(),
        from: secret.source.to_string(),
        defined: secret.origin.to_string(),
    }
}

fn describe(view: &InfoView) -> String {
    let skills = if view.skills.is_empty() { "none".to_owned() } else { view.skills.join(", ") };
    let prompt = match view.prompt_chars {
        0 => "none".to_owned(),
        chars => format!("{chars} chars; first line: {}", view.prompt_first_line),
    };
    let mut lines = vec![
        format!("agent    {} ({})", view.agent, view.defined),
        format!("command  {}", view.command.join(" ")),
        format!("skills   {skills}"),
        format!("prompt   {prompt}"),
        format!("bottle   {} ({})", view.bottle, view.bottle_defined),
    ];
    if !view.claude.is_empty() {
        lines.insert(3, format!("claude   {}", view.claude.join(", ")));
    }
    lines.extend(view.image.iter().map(|image| format!("image    {image}")));
    lines.extend(view.tools.iter().map(|tool| format!("tools    {tool}")));
    lines.extend(view.user.iter().map(|user| format!("user     {user}")));
    lines.extend(limits(&view.limits).map(|limits| format!("limits   {limits}")));
    lines.push(format!("proxy    {}", view.egress.proxy));
    lines.extend(view.egress.intercept.iter().map(|https| format!("https    {}", https.text())));
    lines.extend(tables(view));
    clean(&lines.join("\n")).into_owned()
}

fn limits(limits: &LimitsView) -> Option<String> {
    let cpus = limits.cpus.map(|cpus| format!("{cpus} cpus"));
    let memory = limits.memory_bytes.map(|bytes| format!("{} MiB of memory", bytes / (1024 * 1024)));
    let pids = limits.pids.map(|pids| format!("{pids} processes"));
    let shm = limits.shm_bytes.map(|bytes| format!("{} MiB of shared memory", bytes / (1024 * 1024)));
    let all: Vec<_> = [cpus, memory, pids, shm].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Returns a table for each list that is not empty, after a blank line.
fn tables(view: &InfoView) -> Vec<String> {
    let env = view.env.iter().map(|entry| [entry.name.clone(), entry.from.to_owned(), entry.defined.clone()]);
    let ssh = view.ssh.iter().map(|entry| {
        [entry.host.clone(), entry.target.clone(), entry.identity_file.clone(), entry.defined.clone()]
    });
    let rules = view.egress.rules.iter().map(|entry| [entry.rule.clone(), entry.origin.clone()]);
    let hosts = view.egress.hosts.iter().map(|entry| [entry.host.clone(), entry.addresses.join(", ")]);
    let private = view.egress.private.iter().map(|entry| [entry.host.clone(), entry.range.clone()]);
    let options = view.options.iter().map(|entry| {
        [entry.backend.clone(), entry.name.clone(), entry.value.to_string(), entry.defined.clone()]
    });
    let secrets = view
        .secrets
        .iter()
        .map(|entry| [entry.name.clone(), entry.goes_to.clone(), entry.from.clone(), entry.defined.clone()]);
    let tables = [
        table(["ENV", "VALUE FROM", "DEFINED"], env),
        table(["SECRET", "GOES TO", "VALUE FROM", "DEFINED"], secrets),
        table(["SSH HOST", "TARGET", "KEY", "DEFINED"], ssh),
        table(["EGRESS RULE", "DEFINED"], rules),
        table(["HOST", "FIXED ADDRESSES"], hosts),
        table(["HOST", "PRIVATE RANGE"], private),
        table(["BACKEND", "OPTION", "VALUE", "DEFINED"], options),
    ];
    tables.into_iter().flatten().collect()
}

fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Option<String> {
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| format!("\n{}", columns(heads, &rows)))
}
