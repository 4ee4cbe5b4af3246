//! A look into HTTPS: what a backend must know for it, and where a refusal of it is written.

use claude_bottle_egress_policy::{Intercept, Policy};
use claude_bottle_kit::trust;
use claude_bottle_plugin_api::{EgressSpec, Failure, FailureKind, Spec, Subject};

use crate::manifest::Bottle;

/// Requires of the backend that the bottle trusts its guard, where that opens tunnels.
pub fn enter(policy: &Policy, spec: &mut Spec) {
    if policy.intercept != Intercept::None {
        spec.requires.push(EgressSpec::INTERCEPT.to_owned());
    }
}

/// Says which variables of the manifest's take the place of those by which programs trust the guard.
pub fn note(bottle: &Bottle, policy: &Policy) -> Option<String> {
    let names = bottle.env.iter().map(|entry| entry.name.as_str()).filter(|name| trust::is_variable(name));
    let names: Vec<_> = names.collect();
    let is_noted = policy.intercept != Intercept::None && !names.is_empty();
    is_noted.then(|| {
        let names = names.join(", ");
        format!("`env` sets {names} itself: what reads it may not trust the authority under which HTTPS is looked into")
    })
}

/// Returns `true` if a backend refuses what makes a bottle trust its guard.
pub fn is_refusal(failure: &Failure) -> bool {
    let is_about = |subject: &Subject| matches!(subject, Subject::Feature(f) if f == EgressSpec::INTERCEPT);
    failure.subject.as_deref().is_some_and(is_about)
}

/// Adds to a backend's refusal where that is written for which the guard looks into HTTPS.
pub fn locate(bottle: &Bottle, policy: &Policy, backend: &str, failure: Failure) -> Failure {
    if !is_refusal(&failure) {
        return failure;
    }
    let secret = bottle.secrets.iter().find(|secret| !secret.plain_http);
    let (place, what, hint) = match (secret, policy.needing(), &bottle.egress.intercept.origin) {
        (Some(secret), ..) => {
            let hint = "or move it to `env`, where the agent reads it";
            (secret.origin.to_string(), format!("the secret `{}`", secret.name), Some(hint))
        }
        (None, Some(rule), _) => {
            (rule.origin().to_owned(), format!("rule `{rule}`"), Some("or let the rule name its host alone"))
        }
        (None, None, Some(origin)) => (origin.to_string(), "`intercept: all`".to_owned(), None),
        (None, None, None) => (bottle.origin.to_string(), format!("bottle `{}`", bottle.name), None),
    };
    let message = format!(
        "{place}: {what} needs a look into HTTPS, and the {backend} backend makes no bottle trust the guard for that"
    );
    let refusal = Failure::new(FailureKind::Unsupported, message)
        .hint("use another backend, or one of a later version");
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}
