//! What a bottle has of the secrets that its guard holds: placeholders, in variables, and what git needs to use one.

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::{BottleSpec, EnvVar, SecretSpec};

use crate::manifest::{Bottle, SecretEntry};

/// By how many settings git's environment adds to its configuration:
/// <https://git-scm.com/docs/git-config#ENVIRONMENT>.
const GIT_COUNT: &str = "GIT_CONFIG_COUNT";
/// Whom git asks for user and password at GitHub.
const GIT_KEY: &str = "credential.https://github.com.helper";

/// Puts the placeholders into a bottle, and lets its guard ask for the values.
pub fn enter(manifest: &Bottle, policy: &Policy, bottle: &mut BottleSpec) {
    for secret in &manifest.secrets {
        // The value may be shown to no host by the agent, which does not have it.
        bottle.secrets.push(SecretSpec::new(secret.name.as_str(), Vec::new()));
        let held = policy.secrets.iter().find(|held| held.name == secret.name.as_str());
        let Some(placeholder) = held.map(|held| held.placeholder.as_str()) else { continue };
        if secret.has_variable {
            bottle.env.push(EnvVar::literal(secret.name.as_str(), placeholder));
        }
        let has_settings = bottle.env.iter().any(|variable| variable.name == GIT_COUNT);
        if is_for_git(secret) && !has_settings {
            bottle.env.extend(git(placeholder));
        }
    }
}

fn is_for_git(secret: &SecretEntry) -> bool {
    secret.kind.is_some_and(|kind| kind.name == "github")
}

/// Tells git a user and the placeholder, without a file: it sends them once the forge has asked for them.
fn git(placeholder: &str) -> [EnvVar; 3] {
    let helper = format!(
        "!f() {{ test \"$1\" = get && printf 'username=x-access-token\\npassword={placeholder}\\n'; }}; f"
    );
    [
        EnvVar::literal(GIT_COUNT, "1"),
        EnvVar::literal("GIT_CONFIG_KEY_0", GIT_KEY),
        EnvVar::literal("GIT_CONFIG_VALUE_0", helper),
    ]
}
