//! What a run asks for, held against what its backend declares: nothing is asked for in vain.

use claude_bottle_plugin_api::{Capability, Proxy, Spec};

use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Agent, Bottle, SecretEntry, SecretSource};
use crate::run::backend::Backend;

/// Something that a run asks for and a backend may not offer.
struct Wish {
    capability: Capability,
    what: String,
    /// File and line, or a flag.
    place: String,
}

impl Wish {
    fn new(capability: Capability, what: impl Into<String>, place: &dyn ToString) -> Self {
        Self { capability, what: what.into(), place: place.to_string() }
    }

    fn refused_by(&self, backend: &str) -> CliError {
        let (place, what, capability) = (&self.place, &self.what, self.capability.as_str());
        let message = format!("{place}: {what}: the {backend} backend does not offer `{capability}`");
        CliError::new(Exit::Failed, message)
    }
}

/// Fails when the run asks for something that the backend does not declare.
pub fn check(backend: &Backend, agent: &Agent, bottle: &Bottle, spec: &Spec) -> CliResult {
    let mut refused = wishes(agent, bottle, spec)
        .into_iter()
        .filter(|wish| !backend.offers(&wish.capability))
        .map(|wish| wish.refused_by(backend.name()));
    let Some(first) = refused.next() else { return Ok(()) };
    let hint =
        "remove what is not offered, or name another backend: claude-bottle start AGENT --backend NAME";
    Err(refused.fold(first, CliError::also).hint(hint))
}

fn wishes(agent: &Agent, bottle: &Bottle, spec: &Spec) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let ssh = bottle.ssh.iter();
    wishes.extend(
        ssh.map(|entry| Wish::new(Capability::SSH, format!("the ssh entry `{}`", entry.host), &entry.origin)),
    );
    let skills = agent.skills.iter();
    wishes
        .extend(skills.map(|skill| {
            Wish::new(Capability::SKILLS, format!("the skill `{}`", skill.name), &agent.origin)
        }));
    if spec.bottle.limits != claude_bottle_plugin_api::Limits::default() {
        wishes.push(Wish::new(Capability::LIMITS, "`limits`", &bottle.origin));
    }
    if let Some(image) = &bottle.image {
        wishes.push(Wish::new(Capability::IMAGE, format!("the image `{image}`"), &bottle.origin));
    }
    if let Some(user) = &bottle.user {
        wishes.push(Wish::new(Capability::IMAGE, format!("the image's user `{user}`"), &bottle.origin));
    }
    if spec.workspace.is_some() {
        wishes.push(Wish::new(Capability::WORKSPACE, "a copy of the working directory", &"--cwd"));
    }
    if spec.bottle.egress.proxy == Proxy::Pipelock {
        let place = match bottle.egress.proxy {
            Some(_) => bottle.origin.to_string(),
            None => "CLAUDE_BOTTLE_PIPELOCK_IMAGE".to_owned(),
        };
        wishes.push(Wish::new(Capability::PIPELOCK, "the proxy pipelock", &place));
    }
    let is_asked_again =
        |secret: &&SecretEntry| matches!(secret.source, SecretSource::Command { refresh: Some(_), .. });
    wishes.extend(bottle.secrets.iter().filter(is_asked_again).map(|secret| {
        let what = format!("the secret `{}`, whose command is run again", secret.name);
        Wish::new(Capability::RELOAD, what, &secret.origin)
    }));
    if spec.bottle.egress.config_json["ask_seconds"].as_u64().is_some_and(|seconds| seconds > 0) {
        let place = bottle.egress.ask.as_ref().map_or_else(|| "--ask-hosts".to_owned(), ToString::to_string);
        wishes.push(Wish::new(Capability::RELOAD, "requests that wait for an answer", &place));
    }
    wishes
}
