//! Which hosts may be shown which secret: one rule for every backend, decided here and handed over in the spec.

use claude_bottle_egress_policy::{DEFAULT_ORIGIN, Effect, Policy, Rule, SecretHost};
use claude_bottle_plugin_api::{EnvValue, EnvVar, SecretSpec};

use crate::manifest::{Bottle, EnvSource};
use crate::profile::{LoginKey, Profile};

/// The variable that moves the model's API elsewhere.
pub(super) const BASE_URL: &str = "ANTHROPIC_BASE_URL";

/// Returns every secret among the variables, with the hosts that may receive it as a credential.
///
/// The credentials of a model's API are for that API alone, as the profile has them; another secret may be meant for any host the
/// bottle itself names.
pub fn secret_specs(policy: &Policy, env: &[EnvVar], profile: &Profile) -> Vec<SecretSpec> {
    let secrets = env.iter().filter(|variable| variable.value == EnvValue::Secret);
    let spec =
        |variable: &EnvVar| SecretSpec::new(&variable.name, hosts(policy, env, profile, &variable.name));
    secrets.map(spec).collect()
}

/// Where the manifest says that the model's API is, in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseUrl {
    /// The host, with its port where that is not the usual one of HTTPS.
    pub host: SecretHost,
    /// Whether it is spoken to without TLS.
    pub is_plain: bool,
}

impl BaseUrl {
    /// Reads what a bottle's manifest says; `None` when it says nothing, or nothing in clear.
    pub(super) fn of(bottle: &Bottle) -> Option<Self> {
        let url = base_url_of(bottle, BASE_URL)?;
        let is_plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let authority = authority(url)?;
        let host = SecretHost::parse(authority).ok()?;
        let has_no_port = is_plain && host.port().is_none();
        let host = if has_no_port { SecretHost::parse(&format!("{authority}:80")).ok()? } else { host };
        Some(Self { host, is_plain })
    }
}

/// Returns what a bottle's manifest says in clear of such a variable.
pub(super) fn base_url_of<'b>(bottle: &'b Bottle, variable: &str) -> Option<&'b str> {
    bottle.env.iter().find_map(|entry| match &entry.source {
        EnvSource::Literal(value) if entry.name.as_str() == variable => Some(value.as_str()),
        _ => None,
    })
}

fn hosts(policy: &Policy, env: &[EnvVar], profile: &Profile, name: &str) -> Vec<String> {
    let text = |rule: &Rule| rule.pattern().to_string();
    let is_named = |key: &&LoginKey| key.variables.iter().any(|variable| variable == name);
    if let Some(key) = profile.login.iter().flat_map(|login| &login.keys).find(is_named) {
        let moved = key.base_url.as_ref().and_then(|variable| base_url_authority(env, variable));
        let named = key.hosts.iter().map(String::as_str).chain(moved);
        return named.filter_map(|host| Rule::parse(host, "").ok()).map(|rule| text(&rule)).collect();
    }
    let own = |rule: &&Rule| rule.effect() == Effect::Allow && rule.origin() != DEFAULT_ORIGIN;
    policy.rules.iter().filter(own).map(text).collect()
}

/// Returns the host, perhaps with a port, of the API's address when the manifest says it in clear.
fn base_url_authority<'a>(env: &'a [EnvVar], base_url: &str) -> Option<&'a str> {
    let url = env.iter().find_map(|variable| match &variable.value {
        EnvValue::Literal { value } if variable.name == base_url => Some(value),
        _ => None,
    })?;
    authority(url)
}

/// Returns the host of a URL, perhaps with a port.
pub(super) fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    const BASE_URL: &str = "ANTHROPIC_BASE_URL";

    fn policy() -> Policy {
        let rules = [
            ("sentry.io", DEFAULT_ORIGIN),
            ("*.registry.test:8443", "bottle dev, claude-bottle.yaml:4"),
            ("deny evil.test", "bottle dev, claude-bottle.yaml:5"),
            ("forge.test:22", "ssh entry `forge`, claude-bottle.yaml:7"),
        ];
        let rules = rules.iter().map(|(text, origin)| Rule::parse(text, *origin).unwrap()).collect();
        Policy { rules, ..Policy::default() }
    }

    fn check(base_url: Option<&str>, name: &str, expected: &[&str]) {
        let mut env = vec![EnvVar::literal("LEVEL", "debug"), EnvVar::secret(name)];
        env.extend(base_url.map(|url| EnvVar::literal(BASE_URL, url)));
        let expected = expected.iter().map(|&host| host.to_owned()).collect();
        assert_eq!(secret_specs(&policy(), &env, &Profiles::ours()), [SecretSpec::new(name, expected)]);
    }

    #[test]
    fn the_apis_credentials_are_for_the_api_and_others_for_the_bottles_own_hosts() {
        let api = ["api.anthropic.com", "claude.ai", "platform.claude.com", "gateway.test"];
        for name in ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"] {
            check(None, name, &api[..3]);
            check(Some("http://u:p@gateway.test:8080/v1"), name, &api);
            check(Some("https://gateway.test?x"), name, &api);
            check(Some("gateway.test"), name, &api[..3]);
        }
        check(None, "NPM_TOKEN", &["*.registry.test", "forge.test"]);
        check(Some("http://gateway.test"), "NPM_TOKEN", &["*.registry.test", "forge.test"]);
    }

    #[test]
    fn an_address_of_the_api_that_is_a_secret_itself_gives_it_no_other_host() {
        let env = [EnvVar::secret("ANTHROPIC_API_KEY"), EnvVar::secret(BASE_URL)];
        let specs = secret_specs(&policy(), &env, &Profiles::ours());
        assert_eq!(specs[0].hosts, ["api.anthropic.com", "claude.ai", "platform.claude.com"]);
    }

    #[test]
    fn each_key_goes_to_the_api_it_is_for() {
        let env = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "NPM_TOKEN"].map(EnvVar::secret);
        let hosts = |profile: &str| {
            let profile = Profiles::default().find(profile).unwrap();
            secret_specs(&policy(), &env, &profile)
                .into_iter()
                .map(|spec| spec.hosts.join(" "))
                .collect::<Vec<_>>()
        };
        let own = "*.registry.test forge.test";
        assert_eq!(hosts("opencode"), ["api.anthropic.com", "api.openai.com", own]);
        assert_eq!(hosts("codex"), [own, "api.openai.com", own]);
    }
}
