//! What a bottle has of the secrets that its guard holds: placeholders, in variables, and what git, npm and Python's tools need to use
//! one.

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::{AgentProfile, BottleSpec, EnvVar, FileFormat, HomeFile, SecretSpec};
use serde_json::Value;

use crate::manifest::{Bottle, SecretEntry};

/// By how many settings git's environment adds to its configuration:
/// <https://git-scm.com/docs/git-config#ENVIRONMENT>.
const GIT_COUNT: &str = "GIT_CONFIG_COUNT";
/// Whom git asks for user and password at GitHub.
const GIT_KEY: &str = "credential.https://github.com.helper";

/// Where npm reads its token: <https://docs.npmjs.com/cli/configuring-npm/npmrc#auth-related-configuration>.
const NPMRC: &str = ".npmrc";
/// Where pip, uv and requests read user and password: <https://pip.pypa.io/en/stable/topics/authentication/#netrc-support>.
const NETRC: &str = ".netrc";
/// Whom PyPI takes a token of: <https://pypi.org/help/#apitoken>.
const PYPI_USER: &str = "__token__";
/// The variable in which twine reads the user: <https://twine.readthedocs.io/en/stable/#environment-variables>.
const TWINE_USER: &str = "TWINE_USERNAME";

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
        if is_of(secret, "github") && !has_settings {
            bottle.env.extend(git(placeholder));
        }
        let has_user = bottle.env.iter().any(|variable| variable.name == TWINE_USER);
        if is_of(secret, "pypi") && secret.has_variable && !has_user {
            bottle.env.push(EnvVar::literal(TWINE_USER, PYPI_USER));
        }
    }
}

/// Puts files with placeholders into the home of an agent's program, where it has none of that name.
pub fn enter_files(manifest: &Bottle, policy: &Policy, profile: &mut AgentProfile) {
    for secret in &manifest.secrets {
        let held = policy.secrets.iter().find(|held| held.name == secret.name.as_str());
        let Some(placeholder) = held.map(|held| held.placeholder.as_str()) else { continue };
        let (path, text) = if is_of(secret, "npm") {
            (NPMRC, format!("//registry.npmjs.org/:_authToken={placeholder}\n"))
        } else if is_of(secret, "pypi") {
            let entry = |host| format!("machine {host} login {PYPI_USER} password {placeholder}\n");
            (NETRC, ["pypi.org", "upload.pypi.org"].map(entry).concat())
        } else {
            continue;
        };
        if !profile.files.iter().any(|file| file.path == path) {
            profile.files.push(HomeFile::new(path, FileFormat::Text, Value::from(text)));
        }
    }
}

fn is_of(secret: &SecretEntry, preset: &str) -> bool {
    secret.kind.is_some_and(|kind| kind.name == preset)
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
