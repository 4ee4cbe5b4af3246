//! What an agent gets of `~/.claude`: from the manifest into the spec, and where a refusal of it is written.

use claude_bottle_plugin_api::{AgentFile, Failure, FailureKind, Spec, Subject};

use crate::manifest::Agent;

/// Puts an agent's files into a spec.
pub fn enter(agent: &Agent, spec: &mut Spec) {
    if agent.claude.is_empty() {
        return;
    }
    let file = |name: &str| format!(".claude/{name}");
    spec.agent.files =
        agent.claude.iter().map(|entry| AgentFile::new(&entry.path, file(entry.name))).collect();
    spec.requires.push(AgentFile::FEATURE.to_owned());
}

/// Adds to a backend's refusal where the file it is about is named.
pub fn locate(agent: &Agent, backend: &str, mut failure: Failure) -> Failure {
    let Some(first) = agent.claude.first() else { return failure };
    match failure.subject.as_deref() {
        Some(Subject::Feature(feature)) if feature == AgentFile::FEATURE => {
            let message =
                format!("{}: the {backend} backend copies nothing of ~/.claude but skills", first.origin);
            let hint = format!("remove `claude` from agents.{}, or use another backend", agent.name);
            Failure::new(FailureKind::Unsupported, message).hint(hint)
        }
        Some(Subject::File(path)) => {
            let named = |name: &str| path.strip_prefix(".claude/") == Some(name);
            if let Some(file) = agent.claude.iter().find(|file| named(file.name)) {
                failure.message.insert_str(0, &format!("{}: ", file.origin));
            }
            failure
        }
        _ => failure,
    }
}
