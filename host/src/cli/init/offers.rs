//! What `init` offers: a name, presets that the files of the directory call for, the variable with the token.

use super::super::App;
use super::Target;
use crate::egress::presets::{self, Preset};
use crate::environment::TOKEN;
use crate::manifest::{EnvName, NewBottle};
use crate::profile::Profile;

/// Returns the variables of this machine that may hold what a profile's program logs in with. The first is handed on without a word
/// in the manifest, if the program takes it.
pub(super) fn tokens(profile: &Profile) -> Vec<&str> {
    profile.token().map(|_| TOKEN).into_iter().chain(profile.credentials()).collect()
}

/// Returns the name that is offered, which is the profile's, unless an agent has it.
pub(super) fn name<'a>(target: &Target, profile: &'a Profile) -> &'a str {
    let is_taken = target.manifest.agents().any(|agent| agent.name.as_str() == profile.name);
    if is_taken { "" } else { &profile.name }
}

/// Returns the presets that the files of the working directory call for, each with such a file.
pub(super) fn presets(app: &App) -> Vec<(&'static Preset, String)> {
    // A home directory has files of everything.
    if app.invocation.cwd == app.invocation.home {
        Vec::new()
    } else {
        presets::called_for(&app.invocation.cwd)
    }
}

/// Returns the first variable that is set.
pub(super) fn token<'a>(app: &App, profile: &'a Profile) -> Option<&'a str> {
    tokens(profile).into_iter().find(|name| is_set(app, name))
}

/// Returns `true` if a variable of this machine is set and not empty.
pub(super) fn is_set(app: &App, name: &str) -> bool {
    app.invocation.host_variable(name).is_some_and(|value| !value.is_empty())
}

/// Returns what a new bottle grants.
pub(super) fn bottle(presets: &[&'static Preset], token: Option<&str>) -> NewBottle {
    let named = token.filter(|name| *name != TOKEN);
    let entry = |name: &str| Some((EnvName::new(name).ok()?, format!("${{{name}}}")));
    NewBottle { env: named.and_then(entry).into_iter().collect(), presets: presets.to_vec() }
}

/// Reads the name of a preset.
pub(super) fn preset(text: &str) -> Result<&'static Preset, String> {
    presets::find(text).ok_or_else(|| {
        let names = presets::names().collect::<Vec<_>>().join(", ");
        match presets::meant(text) {
            Some(meant) => format!("did you mean `{meant}`? Presets: {names}"),
            None => format!("presets: {names}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    #[test]
    fn a_token_that_is_handed_on_anyhow_is_not_written() {
        assert!(bottle(&[], Some(TOKEN)).env.is_empty());
        assert!(bottle(&[], None).env.is_empty());
        let env = bottle(&[], Some("ANTHROPIC_API_KEY")).env;
        assert_eq!(env, [(EnvName::new("ANTHROPIC_API_KEY").unwrap(), "${ANTHROPIC_API_KEY}".to_owned())]);
    }

    #[test]
    fn every_token_is_a_variable_that_a_manifest_may_set() {
        for profile in Profiles::default().names() {
            let profile = Profiles::default().find(&profile).unwrap();
            for name in tokens(&profile) {
                assert!(EnvName::new(name).is_ok(), "{name}");
            }
        }
    }
}
