//! What the user is shown before the question, as text and as JSON. Names of variables, never their values.

use claude_bottle_plugin_api::{Fact, Plan, Proxy, Spec};
use serde::Serialize;

use crate::ui::{Ui, clean};

/// How many hosts the text names before it only counts.
const HOSTS_NAMED: usize = 3;
/// How much of the prompt's first line is shown, in characters.
const PROMPT_SHOWN: usize = 60;

/// The plan of a run. The keys of its JSON form are a contract: none is renamed or removed.
#[derive(Debug, Clone, Serialize)]
pub struct PlanView {
    agent: String,
    bottle: String,
    backend: String,
    image: Option<String>,
    container_name: String,
    runtime: Option<String>,
    command: Vec<String>,
    env_names: Vec<String>,
    skills: Vec<String>,
    ssh_hosts: Vec<String>,
    egress: EgressView,
    prompt_chars: usize,
    remote_control: bool,
    workspace: Option<String>,
    limits: claude_bottle_plugin_api::Limits,
    options: serde_json::Value,
    facts: Vec<Fact>,
    limitations: Vec<String>,
    #[serde(skip)]
    prompt_first_line: String,
}

#[derive(Debug, Clone, Serialize)]
struct EgressView {
    proxy: Proxy,
    hosts: Vec<String>,
}

impl PlanView {
    /// Puts together what host and backend are going to do.
    pub fn new(backend: &str, spec: &Spec, plan: &Plan, remote_control: bool) -> Self {
        let bottle = &spec.bottle;
        let mut env_names: Vec<_> = bottle.env.iter().map(|variable| variable.name.clone()).collect();
        env_names.sort();
        Self {
            agent: spec.agent.name.clone(),
            bottle: bottle.name.clone(),
            backend: backend.to_owned(),
            image: plan.image.clone(),
            container_name: plan.name.clone(),
            runtime: plan.runtime.clone(),
            command: spec.agent.command.clone(),
            env_names,
            skills: spec.agent.skills.iter().map(|skill| skill.name.clone()).collect(),
            ssh_hosts: bottle.ssh.iter().map(|entry| entry.host.clone()).collect(),
            egress: EgressView { proxy: bottle.egress.proxy, hosts: bottle.egress.hosts.clone() },
            prompt_chars: spec.agent.prompt.chars().count(),
            remote_control,
            workspace: spec.workspace.as_ref().map(|workspace| workspace.source.display().to_string()),
            limits: bottle.limits.clone(),
            options: spec.options.clone(),
            facts: plan.facts.clone(),
            limitations: plan.limitations.clone(),
            prompt_first_line: spec.agent.prompt.lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// Formats the plan for people, without a trailing line end.
    pub fn text(&self, ui: &Ui) -> String {
        let rows = self.rows();
        let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let mut lines: Vec<String> = rows
            .iter()
            .map(|(label, value)| {
                let padded = format!("{label:<width$}");
                format!("  {}  {}", ui.paint("1", &padded), clean(value).replace('\n', " "))
            })
            .collect();
        lines.extend(
            self.limitations.iter().map(|text| format!("  {} {}", ui.paint("33", "note:"), clean(text))),
        );
        lines.join("\n")
    }

    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("agent".to_owned(), format!("{} ({})", self.agent, self.command.join(" "))),
            ("bottle".to_owned(), self.bottle.clone()),
            ("backend".to_owned(), self.backend.clone()),
        ];
        let mut row = |label: &str, value: Option<String>| {
            rows.extend(value.map(|value| (label.to_owned(), value)));
        };
        row("container", Some(self.container_name.clone()));
        row("image", self.image.clone());
        row("runtime", self.runtime.clone());
        row("env", Some(list(&self.env_names)));
        row("skills", Some(list(&self.skills)));
        row("ssh", Some(list(&self.ssh_hosts)));
        row("prompt", Some(self.prompt()));
        row("egress", Some(self.egress.text()));
        row(
            "workspace",
            Some(self.workspace.clone().unwrap_or_else(|| "none (--cwd copies one in)".to_owned())),
        );
        row("options", self.options.as_object().map(options_text));
        row("remote control", self.remote_control.then(|| "on".to_owned()));
        rows.extend(self.facts.iter().map(|fact| (fact.label.clone(), fact.value.clone())));
        rows
    }

    fn prompt(&self) -> String {
        if self.prompt_chars == 0 {
            return "none".to_owned();
        }
        let shown: String = self.prompt_first_line.chars().take(PROMPT_SHOWN).collect();
        let more = if shown.len() < self.prompt_first_line.len() { "…" } else { "" };
        format!("{} chars; first line: {shown}{more}", self.prompt_chars)
    }
}

/// Writes options as the manifest has them: `pull: true, allow_missing: ["seccomp"]`.
fn options_text(options: &serde_json::Map<String, serde_json::Value>) -> String {
    options.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
}

impl EgressView {
    fn text(&self) -> String {
        let proxy = match self.proxy {
            Proxy::Pipelock => "pipelock",
            _ => "egress-guard",
        };
        let named = self.hosts.iter().take(HOSTS_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = match self.hosts.len().saturating_sub(HOSTS_NAMED) {
            0 => String::new(),
            more => format!(", +{more} more"),
        };
        format!("{} hosts allowed ({named}{more}), by {proxy}", self.hosts.len())
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
