//! What the user is shown before the question, as text and as JSON. Names of variables, never their values.

mod changes;
mod details;
mod egress;
mod https;
mod secrets;
mod summary;

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::{Capability, Fact, GitIdentity, Plan, Spec, Workspace};
use serde::Serialize;

use crate::egress::presets::Preset;
use crate::manifest::{Agent, SecretEntry, SetupStep};
use crate::results::resume::ResumedView;
use crate::run::backend::Backend;
use crate::ui::{Ui, WARNING, clean};

pub use changes::Changes;
use egress::{EgressView, PresetView};
pub use https::InterceptView;
use secrets::SecretView;

/// The plan of a run. The keys of its JSON form are a contract: none is renamed or removed.
#[derive(Debug, Clone, Serialize)]
pub struct PlanView {
    agent: String,
    bottle: String,
    backend: String,
    image: Option<String>,
    container_name: String,
    /// What the user calls the bottle.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    runtime: Option<String>,
    /// Whether the agent goes on when its terminal is gone.
    survives: bool,
    command: Vec<String>,
    env_names: Vec<String>,
    /// What is known of the agent's program.
    profile: String,
    /// Servers of tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mcp: Vec<String>,
    /// What is run before the agent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    setup: Vec<String>,
    /// Of these, the secrets that the agent can read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_exposed: Vec<String>,
    /// Secrets that the guard holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretView>,
    skills: Vec<String>,
    /// What comes along of `~/.claude`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claude: Vec<String>,
    ssh_hosts: Vec<String>,
    egress: EgressView,
    prompt_chars: usize,
    remote_control: bool,
    workspace: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    workspace_start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumes: Option<ResumedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    git_identity: Option<GitIdentity>,
    limits: claude_bottle_plugin_api::Limits,
    options: serde_json::Value,
    facts: Vec<Fact>,
    limitations: Vec<String>,
    #[serde(skip)]
    prompt_first_line: String,
    /// Whether the program is another than its profile's, which would be told the prompt by an option.
    #[serde(skip)]
    prompt_is_untold: bool,
}

/// What is said of a backend that keeps no files.
const LOST: &str = "this backend cannot bring changes out: they are lost when it ends";

impl PlanView {
    /// Puts together what host and backend are going to do.
    pub fn new(
        backend: &Backend,
        spec: &Spec,
        plan: &Plan,
        (remote_control, changes): (bool, Option<Changes>),
    ) -> Self {
        let bottle = &spec.bottle;
        let mut env_names: Vec<_> = bottle.env.iter().map(|variable| variable.name.clone()).collect();
        env_names.sort();
        Self {
            agent: spec.agent.name.clone(),
            bottle: bottle.name.clone(),
            backend: backend.name().to_owned(),
            image: plan.image.clone(),
            container_name: plan.name.clone(),
            name: None,
            runtime: plan.runtime.clone(),
            survives: false,
            command: spec.agent.command.clone(),
            env_names,
            profile: String::new(),
            mcp: Vec::new(),
            setup: Vec::new(),
            env_exposed: secrets::exposed(bottle),
            secrets: Vec::new(),
            skills: spec.agent.skills.iter().map(|skill| skill.name.clone()).collect(),
            claude: spec.agent.files.iter().map(|file| file.path.clone()).collect(),
            ssh_hosts: bottle.ssh.iter().map(|entry| entry.host.clone()).collect(),
            egress: EgressView::new(bottle, backend.offers(&Capability::EGRESS)),
            prompt_chars: spec.agent.prompt.chars().count(),
            remote_control,
            workspace: spec.workspace.as_ref().map(|workspace| workspace.source.display().to_string()),
            workspace_start: spec.workspace.as_ref().map(start).unwrap_or_default(),
            git_identity: spec.git_identity.clone(),
            limits: bottle.limits.clone(),
            options: spec.options.clone(),
            facts: plan.facts.clone(),
            changes,
            resumes: None,
            limitations: limitations(plan, changes),
            prompt_first_line: spec.agent.prompt.lines().next().unwrap_or_default().to_owned(),
            prompt_is_untold: false,
        }
    }

    /// Adds what it goes on from.
    #[must_use]
    pub fn resuming(self, resumes: Option<ResumedView>) -> Self {
        Self { resumes, ..self }
    }

    /// Adds a note.
    #[must_use]
    pub fn noting(mut self, note: Option<String>) -> Self {
        self.limitations.extend(note);
        self
    }

    /// Adds which hosts come from presets.
    #[must_use]
    pub fn with_presets(mut self, presets: &[&'static Preset]) -> Self {
        self.egress.presets = presets.iter().map(|preset| PresetView::from(*preset)).collect();
        self
    }

    /// Adds whose HTTPS the guard looks into.
    #[must_use]
    pub fn with_policy(mut self, policy: &Policy) -> Self {
        self.egress.intercept = InterceptView::new(policy);
        self
    }

    /// Adds what is known of the agent's program, and what of its settings does not count.
    #[must_use]
    pub fn with_profile(mut self, agent: &Agent) -> Self {
        let profile = &agent.profile;
        self.profile.clone_from(&profile.name);
        self.prompt_is_untold = agent.program().is_none() && !profile.prompt_arguments().is_empty();
        self.egress.defaults = profile.rules().iter().map(ToString::to_string).collect();
        self.setup = agent.setup.iter().map(setup_text).collect();
        self.mcp = agent.mcp.iter().map(|server| server.name.clone()).collect();
        let overruled = profile.overruled(&agent.settings);
        if !overruled.is_empty() {
            let keys = overruled.join("`, `");
            self.limitations.push(format!("`settings`: `{keys}` is set by claude-bottle, which wins"));
        }
        self
    }

    /// Adds the secrets that the guard holds.
    #[must_use]
    pub fn with_secrets(self, secrets: &[SecretEntry], policy: &Policy) -> Self {
        Self { secrets: secrets.iter().map(|secret| SecretView::of(secret, policy)).collect(), ..self }
    }

    /// Adds what the user calls the bottle.
    #[must_use]
    pub fn named(self, name: Option<String>) -> Self {
        Self { name, ..self }
    }

    /// Says whether the agent goes on when its terminal is gone.
    #[must_use]
    pub fn surviving(self, survives: bool) -> Self {
        Self { survives, ..self }
    }

    /// Formats the plan for people, without a trailing line end: what decides or, with `-v`, all of it.
    pub fn text(&self, ui: &Ui) -> String {
        self.format(ui, &if ui.verbose { self.rows() } else { self.summary() })
    }

    /// Formats all of the plan, whatever the flags say.
    pub fn details(&self, ui: &Ui) -> String {
        self.format(ui, &self.rows())
    }

    fn format(&self, ui: &Ui, rows: &[(String, String)]) -> String {
        let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let mut lines: Vec<String> = rows
            .iter()
            .map(|(label, value)| {
                let padded = format!("{label:<width$}");
                format!("  {}  {}", ui.paint("1", &padded), clean(value).replace('\n', " "))
            })
            .collect();
        lines.extend(
            self.limitations.iter().map(|text| format!("  {} {}", ui.paint(WARNING, "note:"), clean(text))),
        );
        lines.join("\n")
    }
}

fn limitations(plan: &Plan, changes: Option<Changes>) -> Vec<String> {
    let lost = (changes == Some(Changes::Lost)).then(|| LOST.to_owned());
    plan.limitations.iter().cloned().chain(lost).collect()
}

fn start(workspace: &Workspace) -> String {
    workspace.start.display().to_string()
}

fn setup_text(step: &SetupStep) -> String {
    let note = if step.optional { " (optional)" } else { "" };
    format!("`{}`{note}", step.shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_cannot_bring_changes_out_is_said_to_lose_them() {
        let mut plan = Plan::new("b", &()).unwrap();
        plan.limitations.push("its own".to_owned());
        assert_eq!(limitations(&plan, Some(Changes::Lost)), ["its own", LOST]);
        for changes in [None, Some(Changes::Saved), Some(Changes::NotSaved)] {
            assert_eq!(limitations(&plan, changes), ["its own"]);
        }
        assert_eq!(
            (Changes::Lost.row(), Changes::Saved.row().as_deref()),
            (None, Some("saved when it ends"))
        );
    }
}
