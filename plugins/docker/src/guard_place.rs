//! Where the bottle's guard runs: as a process of this machine, or in a container of its own, the sidecar.

use std::path::PathBuf;

use claude_bottle_kit::bwrap::Bwrap;
use claude_bottle_plugin_api::{Failure, FailureKind, Proxy, Result, Spec, Subject};
use serde::Deserialize;

use crate::config::Config;
use crate::engine::{Engine, EngineFacts, distance};
use crate::link;

/// The option that asks for one of the places.
const OPTION: &str = "guard";

/// What a manifest may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asked {
    /// On this machine where that can be had.
    #[default]
    Auto,
    Host,
    Sidecar,
}

/// Where it is to run.
#[derive(Debug)]
pub(crate) enum GuardPlace {
    /// As a process of this machine, in a sandbox that is made so.
    Host(Bwrap),
    /// In a container of its own, with the reason why it is not on this machine; without one when it was asked for.
    Sidecar(Option<String>),
}

/// Reads what a manifest asks for.
///
/// # Errors
/// Fails on anything else than one of the places.
pub(crate) fn asked(spec: &Spec) -> Result<Asked> {
    let Some(value) = spec.options.get(OPTION) else { return Ok(Asked::default()) };
    Asked::deserialize(value).map_err(|_| {
        Failure::new(FailureKind::Invalid, format!("the option `{OPTION}` is `{value}`"))
            .about(Subject::Option(OPTION.to_owned()))
            .hint("use auto, host or sidecar")
    })
}

/// Chooses the place.
///
/// # Errors
/// Fails when a process of this machine is asked for and cannot be had.
pub(crate) async fn choose(
    engine: &impl Engine,
    config: &Config,
    (asked, link): (Asked, Option<link::Asked>),
    (spec, guest): (&Spec, PathBuf),
    facts: &EngineFacts,
) -> Result<GuardPlace> {
    if asked == Asked::Sidecar {
        return Ok(GuardPlace::Sidecar(None));
    }
    let obstacle = match obstacle(link, spec.bottle.egress.proxy, facts) {
        None => distance(engine.server().await, facts),
        some => some,
    };
    let found = match obstacle {
        Some(reason) => Err(Failure::new(FailureKind::Unsupported, reason)),
        None => Bwrap::find(config.bwrap.as_deref(), guest, &spec.id).map(|(bwrap, _)| bwrap),
    };
    match (found, asked) {
        (Ok(bwrap), _) => Ok(GuardPlace::Host(bwrap)),
        (Err(failure), Asked::Host) => Err(impossible(&failure)),
        (Err(failure), _) => Ok(GuardPlace::Sidecar(Some(failure.message))),
    }
}

/// Returns why the guard cannot be a process of this machine, independent of where the engine is.
fn obstacle(link: Option<link::Asked>, proxy: Proxy, facts: &EngineFacts) -> Option<&'static str> {
    if link == Some(link::Asked::Network) {
        return Some("the option `link` is `network`");
    }
    // Such an engine may access a bind mount as a user who cannot enter a home. Not tried.
    let remaps = facts.security.iter().any(|option| option.contains("name=userns"));
    link::obstacle(proxy, facts).or(remaps.then_some("the engine gives containers other users"))
}

fn impossible(failure: &Failure) -> Failure {
    let message = format!("the option `{OPTION}` is `host`, and {}", failure.message);
    let mut impossible =
        Failure::new(FailureKind::Unsupported, message).about(Subject::Option(OPTION.to_owned()));
    impossible.causes.clone_from(&failure.causes);
    let impossible = failure.hints.iter().cloned().fold(impossible, Failure::hint);
    impossible.hint(format!("leave `{OPTION}` out, or set it to sidecar"))
}

impl GuardPlace {
    /// Formats it for a plan.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Host(_) => "egress guard, a process of this machine".to_owned(),
            Self::Sidecar(None) => "egress guard, in a container of its own".to_owned(),
            Self::Sidecar(Some(reason)) => format!("egress guard, in a container of its own: {reason}"),
        }
    }

    /// Returns how its sandbox is made, when it is on this machine.
    pub(crate) fn into_bwrap(self) -> Option<Bwrap> {
        match self {
            Self::Host(bwrap) => Some(bwrap),
            Self::Sidecar(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_sidecar_is_named() {
        let plain = EngineFacts::default();
        let with = |option: &str| EngineFacts { security: vec![option.to_owned()], ..EngineFacts::default() };
        let gvisor = EngineFacts { runtimes: vec!["runsc".to_owned()], ..EngineFacts::default() };
        assert_eq!(obstacle(None, Proxy::Guard, &plain), None);
        assert_eq!(obstacle(Some(link::Asked::Socket), Proxy::Guard, &plain), None);
        for (link, proxy, facts) in [
            (Some(link::Asked::Network), Proxy::Guard, &plain),
            (None, Proxy::Pipelock, &plain),
            (None, Proxy::Guard, &gvisor),
            (None, Proxy::Guard, &with("name=selinux")),
            (None, Proxy::Guard, &with("name=userns")),
        ] {
            assert!(obstacle(link, proxy, facts).is_some(), "{facts:?}");
        }
    }
}
