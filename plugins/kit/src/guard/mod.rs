//! What a backend hands to the egress guard: the host's configuration with the backend's places in it, and the secrets.

mod reload;
mod secrets;

use claude_bottle_egress_policy::{ConfigError, GuardConfig, Listen, Policy};
use claude_bottle_plugin_api::Spec;

pub use reload::{GuardChange, PATIENCE as GUARD_PATIENCE, policy, unanswered};
pub use secrets::guard_secrets;

/// Returns the guard's configuration as the host wrote it, to listen at `listen`. Without one nothing is let out.
///
/// Places of secrets are taken out: a backend names its own.
///
/// # Errors
/// Fails when the host's text cannot be read.
pub fn guard_config(spec: &Spec, listen: Listen) -> Result<GuardConfig, ConfigError> {
    let text = &spec.bottle.egress.config;
    let mut config = if text.trim().is_empty() {
        GuardConfig::new(&spec.id, listen.clone(), Policy::default())
    } else {
        GuardConfig::from_yaml(text)?
    };
    config.listen = listen;
    (config.dlp.secrets_file, config.dlp.secrets_env) = (None, None);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};

    use super::*;

    fn spec(config: &str) -> Spec {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.egress.config = config.to_owned();
        spec
    }

    fn socket() -> Listen {
        Listen::Unix("/run/guard.sock".into())
    }

    #[test]
    fn no_configuration_lets_nothing_out() {
        for text in ["", " \n"] {
            let config = guard_config(&spec(text), socket()).unwrap();
            assert_eq!((config.policy, config.listen), (Policy::default(), socket()));
        }
    }

    #[test]
    fn the_policy_is_the_hosts_and_the_places_are_the_backends() {
        let text = "version: 1\nbottle: dev-1\nlisten: 127.0.0.1:1\npolicy: {rules: [{rule: a.test}]}\n\
                    dlp: {secrets_file: /elsewhere}\n";
        let config = guard_config(&spec(text), socket()).unwrap();
        assert_eq!((config.policy.rules.len(), &config.listen), (1, &socket()));
        assert_eq!(config.dlp.secrets_file, None);
        assert!(guard_config(&spec("version: 1\nunknown: 1"), socket()).is_err());
    }
}
