//! `info`: what an agent is granted, from the manifest alone. Names of variables, never a value.

use claude_bottle_egress_policy::Policy;
use serde::Serialize;

use super::{App, Format};
use crate::egress::effective_policy;
use crate::error::{CliError, CliResult};
use crate::manifest::{Agent, Bottle, EnvSource, Manifest, ResolvedAgent};
use crate::ui::{clean, columns};

#[derive(Debug, clap::Args)]
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
    prompt_chars: usize,
    prompt_first_line: String,
    bottle: String,
    bottle_defined: String,
    env: Vec<EnvView>,
    ssh: Vec<SshView>,
    egress: Vec<RuleView>,
}

#[derive(Serialize)]
struct EnvView {
    name: String,
    from: &'static str,
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
    let view = view(agent, bottle, &effective_policy(bottle)?);
    match args.format {
        Format::Json => app.ui.json(&view)?,
        Format::Text => app.ui.data(&describe(&view)),
    }
    Ok(())
}

fn view(agent: &Agent, bottle: &Bottle, policy: &Policy) -> InfoView {
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
    let rules =
        policy.rules.iter().map(|rule| RuleView { rule: rule.to_string(), origin: rule.origin().to_owned() });
    InfoView {
        agent: agent.name.to_string(),
        defined: agent.origin.to_string(),
        command: agent.command.clone(),
        skills: agent.skills.iter().map(|skill| skill.name.to_string()).collect(),
        prompt_chars: agent.prompt.chars().count(),
        prompt_first_line: agent.prompt.lines().next().unwrap_or_default().to_owned(),
        bottle: bottle.name.to_string(),
        bottle_defined: bottle.origin.to_string(),
        env: env.collect(),
        ssh: ssh.collect(),
        egress: rules.collect(),
    }
}

fn describe(view: &InfoView) -> String {
    let skills = if view.skills.is_empty() { "none".to_owned() } else { view.skills.join(", ") };
    let mut parts = vec![
        format!("agent    {} ({})", view.agent, view.defined),
        format!("command  {}", view.command.join(" ")),
        format!("skills   {skills}"),
        format!("prompt   {} chars; first line: {}", view.prompt_chars, view.prompt_first_line),
        format!("bottle   {} ({})", view.bottle, view.bottle_defined),
    ];
    let env: Vec<_> = view
        .env
        .iter()
        .map(|entry| [entry.name.clone(), entry.from.to_owned(), entry.defined.clone()])
        .collect();
    let ssh: Vec<_> = view
        .ssh
        .iter()
        .map(|entry| {
            [entry.host.clone(), entry.target.clone(), entry.identity_file.clone(), entry.defined.clone()]
        })
        .collect();
    let rules: Vec<_> = view.egress.iter().map(|entry| [entry.rule.clone(), entry.origin.clone()]).collect();
    if !env.is_empty() {
        parts.push(format!("\n{}", columns(["ENV", "VALUE FROM", "DEFINED"], &env)));
    }
    if !ssh.is_empty() {
        parts.push(format!("\n{}", columns(["SSH HOST", "TARGET", "KEY", "DEFINED"], &ssh)));
    }
    parts.push(format!("\n{}", columns(["EGRESS RULE", "DEFINED"], &rules)));
    clean(&parts.join("\n")).into_owned()
}
