//! What `start` and `logs` say of credentials that a host did not take: which, where it came from, and how to give another.

use claude_bottle_plugin_api::Spec;

use super::App;
use crate::egress::rejected::Rejected;
use crate::environment::TOKEN;
use crate::manifest::{Agent, Bottle, EnvSource, SecretSource, listed};
use crate::profile::Login;
use crate::run::records::Record;

/// Warns of each after a run, with what gives the next start another.
pub(super) fn tell(app: &App, spec: &Spec, (agent, bottle): (&Agent, &Bottle), all: &[Rejected]) {
    let is_login = |name: &str| agent.profile.credentials().any(|known| known == name);
    let readable: Vec<_> =
        spec.bottle.secrets.iter().filter(|secret| is_login(&secret.name)).cloned().collect();
    for rejected in all {
        let names = rejected.credentials(&readable);
        if names.is_empty() {
            continue;
        }
        app.ui.warning(&text(&rejected.host, &names, rejected.requests));
        names.iter().for_each(|name| app.ui.hint(&renewed(agent, bottle, name)));
    }
}

/// Says of a run what its guard put in and a host did not take, a line each.
pub(super) fn lines(all: &[Rejected]) -> Vec<String> {
    let named = all.iter().filter(|rejected| !rejected.secrets.is_empty());
    named.map(|rejected| text(&rejected.host, &rejected.credentials(&[]), rejected.requests)).collect()
}

/// Returns the commands that give a bottle which still runs another value, one for each secret.
pub(super) fn commands(record: &Record, all: &[Rejected]) -> Vec<String> {
    let names = all.iter().flat_map(|rejected| &rejected.secrets);
    names.map(|name| format!("claude-bottle secret set {} {name}", record.name)).collect()
}

fn text(host: &str, names: &[&str], requests: usize) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let names = listed(names.iter().map(String::as_str));
    let noun = if requests == 1 { "request" } else { "requests" };
    format!(
        "`{host}` does not accept {names}: it is not valid, or has expired ({requests} {noun} answered with 401)"
    )
}

/// Says how the next start gets another value.
fn renewed(agent: &Agent, bottle: &Bottle, name: &str) -> String {
    let login = agent.profile.login.as_ref().filter(|login| login.token.as_deref() == Some(name));
    let held = bottle.secrets.iter().find(|secret| secret.name.as_str() == name);
    let read = bottle.env.iter().find(|entry| entry.name.as_str() == name);
    let from = match (held, read) {
        (Some(secret), _) => of_secret(&secret.source),
        (None, Some(entry)) => of_variable(&entry.source, &entry.origin.to_string()),
        // What the manifest does not name is the user's token.
        (None, None) => format!("export {TOKEN}=TOKEN"),
    };
    match login.and_then(|login: &Login| login.renew.as_deref()) {
        Some(renew) => format!("to get another: {renew}, then: {from}"),
        None => format!("to use another: {from}"),
    }
}

fn of_secret(source: &SecretSource) -> String {
    match source {
        SecretSource::Host { variable } => export(variable.as_str()),
        SecretSource::Ask { .. } => "type it when the next start asks for it".to_owned(),
        SecretSource::File(path) => format!("write it to {}", path.display()),
        SecretSource::Command { words, .. } => format!("have the command {words:?} print it"),
    }
}

fn of_variable(source: &EnvSource, origin: &str) -> String {
    match source {
        EnvSource::Host { variable } => export(variable.as_str()),
        EnvSource::Ask { .. } => "type it when the next start asks for it".to_owned(),
        EnvSource::Literal(_) => format!("write it to {origin}"),
    }
}

fn export(variable: &str) -> String {
    let value = if variable == TOKEN { "TOKEN" } else { "VALUE" };
    format!("export {variable}={value}")
}
