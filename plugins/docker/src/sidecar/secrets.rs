//! The bottle's secrets as its guard gets them: what to look for, and where each may go.

use claude_bottle_egress_policy::{
    DEFAULT_ORIGIN, Effect, GuardConfig, GuardSecret, GuardSecrets, HostPattern, Rule,
};
use claude_bottle_plugin_api::{Call, EnvValue, Result, Spec};
use zeroize::{Zeroize, Zeroizing};

use crate::error::DockerError;

/// Credentials for the model's API: <https://code.claude.com/docs/en/env-vars>.
const API_CREDENTIALS: &[&str] = &["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];
/// Where Claude Code sends them, of the hosts every bottle may reach.
const API_HOSTS: &[&str] = &["api.anthropic.com", "claude.ai", "platform.claude.com"];
/// The variable that moves the API elsewhere.
const BASE_URL: &str = "ANTHROPIC_BASE_URL";

/// Returns the document for the guard's standard input; empty when there is no secret.
pub(super) fn for_guard(spec: &Spec, call: &Call) -> Result<Zeroizing<Vec<u8>>> {
    let mut secrets = GuardSecrets::default();
    for variable in &spec.bottle.env {
        if !matches!(variable.value, EnvValue::Secret) {
            continue;
        }
        let secret = call.secret(&variable.name)?;
        match std::str::from_utf8(secret.expose()) {
            Ok(value) => secrets.entries.push(GuardSecret {
                name: variable.name.clone(),
                value: value.to_owned(),
                hosts: hosts(spec, &variable.name)?,
            }),
            Err(_) => tracing::warn!(variable = variable.name, "no text, so the guard does not look for it"),
        }
    }
    if secrets.entries.is_empty() {
        return Ok(Zeroizing::default());
    }
    let text = secrets.to_json().map_err(|source| DockerError::ReadGuardConfig { source });
    secrets.entries.iter_mut().for_each(|entry| entry.value.zeroize());
    Ok(Zeroizing::new(text?.into_bytes()))
}

/// Returns the hosts that may be shown a secret as a credential.
///
/// The API's credentials are for the API alone; another secret may be meant for any host the bottle itself names.
fn hosts(spec: &Spec, name: &str) -> Result<Vec<HostPattern>, DockerError> {
    if API_CREDENTIALS.contains(&name) {
        let named = API_HOSTS.iter().copied().chain(base_url_authority(spec));
        return Ok(named.filter_map(|host| Some(Rule::parse(host, "").ok()?.pattern().clone())).collect());
    }
    if spec.bottle.egress.config.is_empty() {
        return Ok(Vec::new());
    }
    let config = GuardConfig::from_yaml(&spec.bottle.egress.config);
    let config = config.map_err(|source| DockerError::ReadGuardConfig { source })?;
    let own = |rule: &&Rule| rule.effect() == Effect::Allow && rule.origin() != DEFAULT_ORIGIN;
    Ok(config.policy.rules.iter().filter(own).map(|rule| rule.pattern().clone()).collect())
}

/// Returns the host, perhaps with a port, of the API's address when the manifest says it in clear.
fn base_url_authority(spec: &Spec) -> Option<&str> {
    let url = spec.bottle.env.iter().find_map(|variable| match &variable.value {
        EnvValue::Literal { value } if variable.name == BASE_URL => Some(value),
        _ => None,
    })?;
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, EnvVar, Owner};

    use super::*;

    fn names(spec: &Spec, name: &str) -> Vec<String> {
        let hosts = hosts(spec, name).unwrap();
        hosts.iter().map(|host| serde_json::to_value(host).unwrap().as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_apis_credentials_are_for_the_api_and_others_for_the_bottles_own_hosts() {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.env = vec![EnvVar::literal(BASE_URL, "http://u:p@gateway.test:8080/v1")];
        spec.bottle.egress.config = "version: 1\nbottle: dev-1\nlisten: 127.0.0.1:1\npolicy:\n  rules:\n  \
            - {rule: sentry.io, origin: default}\n  - {rule: '*.registry.test', origin: bottle}\n  \
            - {rule: deny evil.test, origin: bottle}\n"
            .to_owned();
        let api = ["api.anthropic.com", "claude.ai", "platform.claude.com", "gateway.test"];
        assert_eq!(names(&spec, "CLAUDE_CODE_OAUTH_TOKEN"), api);
        assert_eq!(names(&spec, "NPM_TOKEN"), ["*.registry.test"]);
        spec.bottle.env.clear();
        spec.bottle.egress.config.clear();
        assert_eq!(names(&spec, "CLAUDE_CODE_OAUTH_TOKEN"), api[..3]);
        assert_eq!(names(&spec, "NPM_TOKEN"), Vec::<String>::new());
    }
}
