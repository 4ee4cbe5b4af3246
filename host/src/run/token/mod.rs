//! What a bottle has without a word of its manifest, wherever that can be: the user's token, as a secret that the guard holds, and a
//! look into HTTPS to every host.

use claude_bottle_egress_policy::{Intercept, Policy};
use claude_bottle_plugin_api::Proxy;

use crate::environment::TOKEN;
use crate::manifest::{Agent, Bottle, EnvName, SecretEntry, TokenSource, VariableName, obstacle};

/// A bottle with the user's token, where there is one and the manifest does not name it itself, and with a look into HTTPS as far as
/// its proxy, its backend and this machine can have it.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The manifest's bottle; the token is among its secrets where the guard holds it.
    pub bottle: Bottle,
    /// The token, where the agent reads it.
    pub readable: Option<Readable>,
    /// The token's variable, where the guard holds it.
    held: Option<EnvName>,
    /// Why the guard does not look into HTTPS where nothing needs it.
    closed: Option<String>,
}

/// A token that the agent reads.
#[derive(Debug, Clone)]
pub struct Readable {
    /// Its variable, and where its value comes from.
    pub entry: SecretEntry,
    /// Why the guard does not hold it.
    reason: String,
}

impl Granted {
    /// Gives an agent's bottle the token: to its guard, unless the manifest or the proxy is in the way of that.
    pub fn new(token: Option<&TokenSource>, agent: &Agent, bottle: &Bottle, proxy: Proxy) -> Self {
        let mut granted = Self { bottle: bottle.clone(), readable: None, held: None, closed: None };
        if proxy != Proxy::Guard {
            granted.bottle.egress.intercept.relax();
        }
        let Some((name, token)) = variable(agent, bottle).zip(token) else { return granted };
        let entry = SecretEntry::new(name.clone(), token.source.clone(), token.origin.clone());
        let reason = match of_kind(token, name.clone(), agent, bottle) {
            None => Some("no preset says where it goes".to_owned()),
            Some(_) if proxy != Proxy::Guard => Some("pipelock puts in no secret".to_owned()),
            Some(held) => match obstacle(&held, &bottle.env, &bottle.egress) {
                Some((reason, _)) => Some(reason),
                None => {
                    granted.hold(held);
                    None
                }
            },
        };
        granted.readable = reason.map(|reason| Readable { entry, reason });
        granted
    }

    /// Gives a bottle the token as the policy of its run has it.
    pub fn as_in(policy: &Policy, agent: &Agent, bottle: &Bottle) -> Self {
        let name = variable(agent, bottle);
        let is_held = |name: &EnvName| policy.secrets.iter().any(|held| held.name == name.as_str());
        let is_held = name.is_some_and(|name| is_held(&name));
        let token = VariableName::new(TOKEN).ok().filter(|_| is_held).map(TokenSource::of_variable);
        let mut granted = Self::new(token.as_ref(), agent, bottle, Proxy::Guard);
        if policy.intercept != Intercept::All {
            granted.bottle.egress.intercept.relax();
        }
        granted
    }

    /// Returns `true` if the guard looks into HTTPS of every host only because no manifest says otherwise.
    pub fn opens_unasked(&self) -> bool {
        let interception = &self.bottle.egress.intercept;
        interception.origin.is_none() && interception.mode == Intercept::All
    }

    /// Leaves HTTPS closed to the guard where nothing needs a look into it, for a reason that is shown.
    #[must_use]
    pub fn closed(mut self, reason: String) -> Self {
        self.bottle.egress.intercept.relax();
        self.closed = Some(reason);
        self
    }

    /// Says why the guard does not look into HTTPS, if nobody has asked for that.
    pub fn closed_note(&self) -> Option<String> {
        let reason = self.closed.as_ref()?;
        Some(format!("HTTPS is not looked into where nothing needs it: {reason}"))
    }

    /// Returns `true` if the guard holds the token.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Takes the token out of the guard's hands, for a reason that is shown.
    #[must_use]
    pub fn exposed(mut self, reason: String) -> Self {
        let Some(name) = self.held.take() else { return self };
        let index = self.bottle.secrets.iter().position(|secret| secret.name == name);
        let entry = index.map(|index| self.bottle.secrets.remove(index));
        self.readable = entry.map(|entry| Readable { entry, reason });
        self
    }

    /// Says of a token that the agent reads why it does.
    pub fn note(&self) -> Option<String> {
        let readable = self.readable.as_ref()?;
        Some(format!("the agent can read {}: {}", readable.entry.name, readable.reason))
    }

    fn hold(&mut self, entry: SecretEntry) {
        self.held = Some(entry.name.clone());
        self.bottle.secrets.push(entry);
        self.bottle.secrets.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// Returns the variable that a token would be handed on as: none where the manifest names it itself.
fn variable(agent: &Agent, bottle: &Bottle) -> Option<EnvName> {
    let name = agent.profile.token()?;
    let is_named = bottle.env.iter().any(|entry| entry.name.as_str() == name)
        || bottle.secrets.iter().any(|secret| secret.name.as_str() == name);
    EnvName::new(name.to_owned()).ok().filter(|_| !is_named)
}

/// Returns the token as a secret of its kind. Where the manifest lets the agent read another credential for the same model, that
/// one passes as well.
fn of_kind(token: &TokenSource, name: EnvName, agent: &Agent, bottle: &Bottle) -> Option<SecretEntry> {
    let entry = SecretEntry::of_kind(name, token.source.clone(), token.origin.clone())?;
    let is_credential = |name: &str| agent.profile.credentials().any(|known| known == name);
    let has_another = bottle.env.iter().any(|entry| is_credential(entry.name.as_str()));
    Some(SecretEntry { only: entry.only && !has_another, ..entry })
}

#[cfg(test)]
mod tests;
