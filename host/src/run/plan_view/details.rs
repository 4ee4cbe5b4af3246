//! All of the plan, a row for each thing.

use claude_bottle_plugin_api::{EntryPath, GitIdentity};

use super::https::InterceptView;
use super::secrets::{self, SecretView};
use super::{Changes, PlanView, summary};
use crate::results::escape;
use crate::results::resume::ResumedView;

/// How much of the prompt's first line is shown, in characters.
const PROMPT_SHOWN: usize = 60;
/// How many paths that changed here are named.
const CHANGED_SHOWN: usize = 20;

impl PlanView {
    /// Returns the rows.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
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
        row("capture", self.egress.capture_text().map(str::to_owned));
        row("upload limit", self.egress.upload_text());
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

    pub(super) fn workspace_text(&self) -> String {
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

pub(super) fn identity(identity: &GitIdentity) -> String {
    let known =
        |text: &str, unknown: &str| if text.is_empty() { unknown.to_owned() } else { text.to_owned() };
    format!("{} <{}>", known(&identity.name, "no name"), known(&identity.email, "no email"))
}

/// Says what comes back of an earlier bottle.
pub(super) fn resumed(view: &ResumedView) -> String {
    let noun = if view.files == 1 { "file" } else { "files" };
    let more = [(view.repository, "the agent's repository"), (view.history, "its history")];
    let more: String =
        more.iter().filter(|(is_there, _)| *is_there).map(|(_, what)| format!(", {what}")).collect();
    let kept =
        view.kept.as_ref().map_or_else(String::new, |kept| format!(", {} that git ignores", kept.files));
    format!("{}: {} changed {noun}{more}{kept}", view.run, view.files)
}

/// Names the paths that changed here as well.
pub(super) fn changed_here(view: &ResumedView) -> Option<String> {
    let shown = |path: &EntryPath| escape::name(path.as_bytes());
    let names: Vec<_> = view.changed_here.iter().take(CHANGED_SHOWN).map(shown).collect();
    let more = view.changed_here.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let names = names.join(", ");
    (!names.is_empty())
        .then(|| format!("{names}{more}; inside they are as the agent left them, here they stay"))
}

/// Writes options as the manifest has them: `pull: true, allow_missing: ["seccomp"]`.
fn options_text(options: &serde_json::Map<String, serde_json::Value>) -> String {
    options.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
