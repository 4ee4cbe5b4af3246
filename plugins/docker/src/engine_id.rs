//! Which engine a bottle is on: a bottle that is looked for on another one is not gone.
//!
//! A user may have several engines, by `DOCKER_HOST` and by contexts. What is not on one of them would be taken for removed, and the
//! record of a bottle's work with it.

use claude_bottle_plugin_api::{Bottle, Failure, FailureKind, Result};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineFacts};
use crate::error::DockerError;
use crate::plan::BottleState;

/// An engine, as a bottle's document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EngineId {
    /// What tells it from others; empty if that is not known.
    id: String,
    /// Where it was reached when the bottle was made.
    address: String,
}

impl EngineId {
    /// Names an engine.
    pub(crate) fn of(engine: &impl Engine, facts: &EngineFacts) -> Self {
        Self { id: facts.id.clone(), address: engine.address().to_string() }
    }
}

/// Fails if a bottle is on another engine than this one.
///
/// One that is reached at the same address is the same, or has taken its place for good. At another address it may be the same, of
/// which it is asked itself.
pub(crate) async fn check(engine: &impl Engine, bottle: &Bottle) -> Result<()> {
    let state: BottleState = bottle.state()?;
    let Some(made_on) = state.engine.filter(|made_on| made_on.address != engine.address().to_string()) else {
        return Ok(());
    };
    let facts = engine.facts().await.map_err(|source| DockerError::AskEngine { source })?;
    if !made_on.id.is_empty() && made_on.id == facts.id {
        return Ok(());
    }
    let message = format!(
        "the bottle `{}` is on the engine at `{}`, and DOCKER_HOST or the docker context names the one at `{}`",
        bottle.name,
        made_on.address,
        engine.address()
    );
    Err(Failure::new(FailureKind::Invalid, message)
        .hint(format!("export DOCKER_HOST={}   # or select its context, for this command", made_on.address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Address;
    use crate::engine::recording::Recording;

    fn check_at(made_on: Option<(&str, &str)>, now: (&str, &str)) -> Result<()> {
        let id = |(id, address): (&str, &str)| EngineId { id: id.to_owned(), address: address.to_owned() };
        let state = crate::active::tests::state(made_on.map(id));
        let engine = Recording {
            id: now.0.to_owned(),
            address: Some(Address::Tcp(now.1.trim_start_matches("tcp://").to_owned())),
            ..Recording::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(&engine, &Bottle::new("claude-bottle-dev", &state).unwrap()))
    }

    #[test]
    fn a_bottle_is_looked_for_on_its_own_engine_alone() {
        let here = ("one", "tcp://a:1");
        check_at(Some(here), here).unwrap();
        // Its engine at another address, as from that machine itself.
        check_at(Some(here), ("one", "tcp://b:1")).unwrap();
        // Another engine in the same place: what was there is gone.
        check_at(Some(here), ("two", "tcp://a:1")).unwrap();
        // A document of an earlier version does not say it.
        check_at(None, here).unwrap();
        for (made_on, now) in [(here, ("two", "tcp://b:1")), (("", "tcp://a:1"), ("", "tcp://b:1"))] {
            let failure = check_at(Some(made_on), now).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid);
            assert!(
                failure
                    .message
                    .ends_with("is on the engine at `tcp://a:1`, and DOCKER_HOST or the docker context names the one at `tcp://b:1`")
            );
            assert!(failure.hints[0].starts_with("export DOCKER_HOST=tcp://a:1 "), "{failure:?}");
        }
    }
}
