//! Whether an agent's program finds what it logs in with, as far as the manifest and the environment say.

use super::App;
use crate::manifest::{Agent, Manifest};
use crate::profile::Login;

/// Returns what an agent's program would log in with, if nothing of it comes along.
pub(super) fn missing<'a>(app: &App, manifest: &Manifest, agent: &'a Agent) -> Option<&'a Login> {
    let profile = agent.program()?;
    let login = profile.login.as_ref()?;
    let bottle = manifest.bottle(agent.bottle.as_str())?;
    let is_known = |name: &str| {
        profile.credentials().any(|known| known == name) || login.elsewhere.iter().any(|known| known == name)
    };
    let is_granted = bottle.env.iter().any(|entry| is_known(entry.name.as_str()))
        || bottle.secrets.iter().any(|secret| is_known(secret.name.as_str()));
    let is_handed_on = login.token.is_some() && app.token().is_some();
    (!is_granted && !is_handed_on).then_some(login)
}

/// Says in a plan that it is missing.
pub(super) fn note(app: &App, manifest: &Manifest, agent: &Agent) -> Option<String> {
    let Login { missing, fix, .. } = missing(app, manifest, agent)?;
    Some(format!("no token: {missing}; {fix}"))
}
