//! The bottles that exist now, found by label.

use claude_bottle_kit::{Labels, key};
use claude_bottle_plugin_api::{ActiveBottle, Bottle, BottleState as Word, Result};

use crate::engine::{Engine, Found, Kind};
use crate::error::DockerError;
use crate::names::{NameSource, Names};
use crate::plan::{BottleState, role, usual_state};

/// Lists them, by name.
pub(crate) async fn list(engine: &impl Engine) -> Result<Vec<ActiveBottle>> {
    let labels = [key::ID.to_owned(), format!("{}={}", key::ROLE, role::AGENT)];
    let found = engine.list(Kind::Container, &labels).await;
    let found = found.map_err(|source| DockerError::ListLeftovers { name: "*".to_owned(), source })?;
    found.iter().filter_map(entry).collect()
}

/// Translates the engine's word for a container's state.
pub(crate) fn state(word: &str) -> Word {
    match word {
        "running" | "paused" | "restarting" => Word::Running,
        "created" => Word::Created,
        "exited" | "dead" | "removing" => Word::Stopped,
        _ => Word::Unknown,
    }
}

fn entry(found: &Found) -> Option<Result<ActiveBottle>> {
    let labels = Labels::read(|name| found.labels.get(name).map(String::as_str))?;
    let record = match Bottle::new(found.name.clone(), &record(found, &labels)) {
        Ok(record) => record,
        Err(failure) => return Some(Err(failure)),
    };
    let mut active = ActiveBottle::new(labels.id, labels.agent, labels.bottle, record);
    active.state = state(&found.state);
    active.created_unix = found.created_unix;
    active.owner = Some(labels.owner);
    Some(Ok(active))
}

/// Makes a record by which the bottle is reached; what is not in a label is looked up when needed.
fn record(found: &Found, labels: &Labels) -> BottleState {
    let source = NameSource { slug: labels.agent.clone(), sidecar: String::new(), pinned: None };
    BottleState {
        id: labels.id.clone(),
        owner: labels.owner.clone(),
        engine: None,
        bottle: labels.bottle.clone(),
        names: Names { agent: found.name.clone(), ..source.candidate(1) },
        agent: found.id.clone(),
        sidecar: None,
        networks: Vec::new(),
        volume: None,
        volumes: Vec::new(),
        proxy: None,
        port: 0,
        workspace: String::new(),
        state: usual_state(),
        user: None,
        image: None,
        bounds: None,
        state_dir: None,
        variables: Vec::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use claude_bottle_plugin_api::Owner;

    use super::*;
    use crate::engine_id::EngineId;

    /// Makes what is known of a bottle on an engine.
    pub(crate) fn state(engine: Option<EngineId>) -> BottleState {
        let labels = Labels {
            id: "dev-1".to_owned(),
            agent: "dev".to_owned(),
            bottle: "dev".to_owned(),
            owner: Owner::new("here", 7, 9),
            state_dir: None,
        };
        BottleState { engine, ..record(&Found::default(), &labels) }
    }
}
