//! What the user is shown before the question, as text and as JSON. Names of variables, never their values.

mod egress;
mod https;
mod secrets;
mod summary;

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::{Capability, EntryPath, Fact, GitIdentity, Plan, Spec, Workspace};
use serde::Serialize;

use crate::egress::presets::Preset;
use crate::manifest::{Agent, SecretEntry, SetupStep};
use crate::results::escape;
use crate::results::resume::ResumedView;
use crate::run::backend::Backend;
use crate::ui::{Ui, WARNING, clean};

use egress::{EgressView, PresetView};
pub use https::InterceptView;
use secrets::SecretView;

/// How much of the prompt's first line is shown, in characters.
const PROMPT_SHOWN: usize = 60;
/// How many paths that changed here are named.
const CHANGED_SHOWN: usize = 20;

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
}

/// What becomes of what the agent changes in the copy of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changes {
    /// They are saved when the bottle ends.
    Saved,
    /// They are saved then, and the bottle's files stay.
    Kept,
    /// They are lost then, since the backend cannot bring them out.
    Lost,
    /// They are lost then, since the user says so.
    NotSaved,
}

impl Changes {
    /// Decides for a run; `None` without a directory.
    pub fn of(backend: &Backend, has_workspace: bool, (is_wanted, keeps): (bool, bool)) -> Option<Self> {
        has_workspace.then(|| match (is_wanted, backend.offers(&Capability::EXPORT)) {
            (false, _) => Self::NotSaved,
            (true, true) if keeps => Self::Kept,
            (true, true) => Self::Saved,
            (true, false) => Self::Lost,
        })
    }

    /// Returns `true` if they are in a result afterwards.
    pub fn are_saved(self) -> bool {
        matches!(self, Self::Saved | Self::Kept)
    }

    fn row(self) -> Option<String> {
        match self {
            Self::Saved => Some("saved when it ends".to_owned()),
            Self::Kept => Some("saved when it ends, and the bottle's files are kept".to_owned()),
            Self::NotSaved => Some("lost when it ends, as --no-save says".to_owned()),
            // A limitation says it.
            Self::Lost => None,
        }
    }
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

    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("agent".to_owned(), format!("{} ({})", self.agent, summary::words(&self.command))),
            ("bottle".to_owned(), self.bottle.clone()),
            ("backend".to_owned(), self.backend.clone()),
        ];
        let mut row = |label: &str, value: Option<String>| {
            rows.extend(value.map(|value| (label.to_owned(), value)));
        };
        row("name", self.name.clone());
        row("container", Some(self.container_name.clone()));
        row("image", self.image.clone());
        row("runtime", self.runtime.clone());
        row("env", Some(secrets::env_text(&self.env_names, &self.env_exposed, &self.secrets)));
        row("secrets", SecretView::text(&self.secrets));
        row("skills", Some(list(&self.skills)));
        row("setup", (!self.setup.is_empty()).then(|| self.setup.join(", then ")));
        row("mcp", (!self.mcp.is_empty()).then(|| list(&self.mcp)));
        row("from home", (!self.claude.is_empty()).then(|| list(&self.claude)));
        row("ssh", Some(list(&self.ssh_hosts)));
        row("prompt", Some(self.prompt()));
        row("egress", Some(self.egress.text()));
        row("https", self.egress.intercept.as_ref().map(InterceptView::text));
        row("upstream proxy", self.egress.upstream());
        row("forward", (!self.egress.forward.is_empty()).then(|| self.egress.forward.join(", ")));
        row("workspace", Some(self.workspace_text()));
        row("changes", self.changes.and_then(Changes::row));
        row("goes on from", self.resumes.as_ref().map(resumed));
        row("changed here", self.resumes.as_ref().and_then(changed_here));
        row("commits by", self.git_identity.as_ref().map(identity));
        row("options", self.options.as_object().map(options_text));
        row("terminal", self.survives.then(|| "when it is closed, the agent goes on".to_owned()));
        row("remote control", self.remote_control.then(|| "on".to_owned()));
        rows.extend(self.facts.iter().map(|fact| (fact.label.clone(), fact.value.clone())));
        rows
    }

    fn workspace_text(&self) -> String {
        match &self.workspace {
            None => "none (--cwd copies one in)".to_owned(),
            Some(source) if self.workspace_start.is_empty() => source.clone(),
            Some(source) => {
                format!("{source}, the repository as a whole; starts in {}", self.workspace_start)
            }
        }
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

fn limitations(plan: &Plan, changes: Option<Changes>) -> Vec<String> {
    let lost = (changes == Some(Changes::Lost)).then(|| LOST.to_owned());
    plan.limitations.iter().cloned().chain(lost).collect()
}

fn identity(identity: &GitIdentity) -> String {
    let known =
        |text: &str, unknown: &str| if text.is_empty() { unknown.to_owned() } else { text.to_owned() };
    format!("{} <{}>", known(&identity.name, "no name"), known(&identity.email, "no email"))
}

/// Says what comes back of an earlier bottle.
fn resumed(view: &ResumedView) -> String {
    let noun = if view.files == 1 { "file" } else { "files" };
    let more = [(view.repository, "the agent's repository"), (view.history, "its history")];
    let more: String =
        more.iter().filter(|(is_there, _)| *is_there).map(|(_, what)| format!(", {what}")).collect();
    let kept =
        view.kept.as_ref().map_or_else(String::new, |kept| format!(", {} that git ignores", kept.files));
    format!("{}: {} changed {noun}{more}{kept}", view.run, view.files)
}

/// Names the paths that changed here as well.
fn changed_here(view: &ResumedView) -> Option<String> {
    let shown = |path: &EntryPath| escape::name(path.as_bytes());
    let names: Vec<_> = view.changed_here.iter().take(CHANGED_SHOWN).map(shown).collect();
    let more = view.changed_here.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let names = names.join(", ");
    (!names.is_empty())
        .then(|| format!("{names}{more}; inside they are as the agent left them, here they stay"))
}

fn start(workspace: &Workspace) -> String {
    workspace.start.display().to_string()
}

/// Writes options as the manifest has them: `pull: true, allow_missing: ["seccomp"]`.
fn options_text(options: &serde_json::Map<String, serde_json::Value>) -> String {
    options.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
}

fn setup_text(step: &SetupStep) -> String {
    let note = if step.optional { " (optional)" } else { "" };
    format!("`{}`{note}", step.shown)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
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
