//! Removing a bottle, from its document alone; and keeping what its sidecar decided.

use std::path::PathBuf;

use claude_bottle_kit::cleanup::joined;
use claude_bottle_kit::host_guard::HostGuards;
use claude_bottle_plugin_api::{Bottle, Call, ErrorExt, Failure, FailureKind, Result};
use futures_util::future::join_all;

use crate::engine::{Container, Engine, Kind};
use crate::error::DockerError;
use crate::fault::Fault;
use crate::launch::undo::sweep;
use crate::plan::{BottleState, role};
use crate::sidecar::log;

/// The message for a guard that ended before its agent.
const ENDED_EARLY: &str = "the proxy ended before the agent did, and nothing has gone out since";

/// What a test asks to go wrong while a bottle is removed.
pub(crate) struct Faults<'a> {
    pub(crate) fault: &'a Fault,
    pub(crate) call: &'a Call,
}

impl Faults<'_> {
    /// Ends a step. A removal goes on after a failure, and also when it is cancelled.
    async fn after(&self, step: &str) -> Option<Failure> {
        self.fault.strike(self.call, step).await.err()
    }
}

/// Removes the bottle. Agent and guard end at the same time: an agent without its guard has no way out.
pub(crate) async fn close(
    engine: &impl Engine,
    guards: &HostGuards,
    faults: &Faults<'_>,
    bottle: &Bottle,
) -> Result<()> {
    let state: BottleState = bottle.state()?;
    let mut failures: Vec<Failure> = Vec::new();
    // What fails here is tried again by the sweep, which has the last word on it.
    failures.extend(match guards.has(&state.id) {
        true => remove_with_host_guard(engine, guards, faults, &state).await,
        false => remove_known(engine, faults, &state).await,
    });
    failures.extend(sweep(engine, &state.selector()).await);
    failures.extend(faults.after("sweep").await);
    joined(failures)
}

/// Ends the guard, which completes its log itself, and removes what the record names.
async fn remove_with_host_guard(
    engine: &impl Engine,
    guards: &HostGuards,
    faults: &Faults<'_>,
    state: &BottleState,
) -> Vec<Failure> {
    let agent = engine.inspect_container(&state.agent).await;
    if agent.is_ok_and(|found| found.running) && guards.has_failed(&state.id) {
        tracing::error!("{ENDED_EARLY}");
    }
    let agent = async {
        drop(engine.kill_container(&state.agent).await);
        let killed = faults.after("kill-agent").await;
        drop(engine.remove(Kind::Container, &state.agent).await);
        [killed, faults.after("remove-agent").await]
    };
    let guard = async {
        let ended = on_a_thread(guards, &state.id, HostGuards::end).await.err();
        [ended, faults.after("end-guard").await]
    };
    let (agent, guard) = tokio::join!(agent, guard);
    join_all(state.volumes.iter().map(|name| engine.remove(Kind::Volume, name))).await;
    agent.into_iter().chain(guard).chain([faults.after("remove-volume").await]).flatten().collect()
}

/// Saves the log and removes what the record names, as much of it at once as depends on nothing.
async fn remove_known(engine: &impl Engine, faults: &Faults<'_>, state: &BottleState) -> Vec<Failure> {
    // Of a halted bottle nothing runs, and that is as it should be.
    let agent = engine.inspect_container(&state.agent).await;
    let is_open = agent.is_ok_and(|found| found.running);
    let agent = async {
        drop(engine.kill_container(&state.agent).await);
        let killed = faults.after("kill-agent").await;
        drop(engine.remove(Kind::Container, &state.agent).await);
        [killed, faults.after("remove-agent").await]
    };
    let sidecar = async {
        let saved = save_log(engine, state, is_open).await.err().map(Failure::from);
        let log = faults.after("save-log").await;
        if let Some(sidecar) = &state.sidecar {
            drop(engine.remove(Kind::Container, sidecar).await);
        }
        [saved, log, faults.after("remove-sidecar").await]
    };
    let (agent, sidecar) = tokio::join!(agent, sidecar);
    let networks = async {
        join_all(state.networks.iter().map(|id| engine.remove(Kind::Network, id))).await;
        faults.after("remove-networks").await
    };
    let volume = async {
        let names = state.volume.iter().chain(&state.volumes);
        join_all(names.map(|name| engine.remove(Kind::Volume, name))).await;
        faults.after("remove-volume").await
    };
    let (networks, volume) = tokio::join!(networks, volume);
    agent.into_iter().chain(sidecar).chain([networks, volume]).flatten().collect()
}

/// Ends the guard, whose decisions are kept; the container of a sidecar stays, and so does the directory of a guard on this machine.
pub(crate) async fn end_guard(engine: &impl Engine, guards: &HostGuards, state: &BottleState) -> Result<()> {
    match guards.has(&state.id) {
        true => on_a_thread(guards, &state.id, HostGuards::halt).await,
        false => end_sidecar(engine, state).await,
    }
}

/// Does something with a guard of this machine on a thread that may wait, while the engine does its part.
async fn on_a_thread(
    guards: &HostGuards,
    id: &str,
    act: impl FnOnce(&HostGuards, &str) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (guards, id) = (guards.clone(), id.to_owned());
    let acted = tokio::task::spawn_blocking(move || act(&guards, &id)).await;
    acted.failure(FailureKind::Internal, || "cannot wait for the guard")?
}

async fn end_sidecar(engine: &impl Engine, state: &BottleState) -> Result<()> {
    save_log(engine, state, false).await?;
    let known = match &state.sidecar {
        Some(sidecar) => Some(sidecar.clone()),
        None => {
            let found = engine.list(Kind::Container, &state.part(role::SIDECAR)).await;
            let name = state.id.clone();
            let found = found.map_err(|source| DockerError::ListLeftovers { name, source })?;
            found.into_iter().next().map(|found| found.id)
        }
    };
    let Some(sidecar) = known else { return Ok(()) };
    let killed = engine.kill_container(&sidecar).await;
    let name = state.names.sidecar.clone();
    Ok(killed.map_err(|source| DockerError::Halt { name, source })?)
}

async fn save_log(engine: &impl Engine, state: &BottleState, is_open: bool) -> Result<(), DockerError> {
    match sidecar(engine, state).await {
        Some((sidecar, dir)) => {
            // Saving ends it, so this is asked before. One that another process has stopped, which closes the bottle too, ends with 0.
            let ended = |found: Container| !found.running && found.exit_code != 0;
            if is_open && engine.inspect_container(&sidecar).await.is_ok_and(ended) {
                tracing::error!("{ENDED_EARLY}");
            }
            log::save(engine, &sidecar, &dir).await
        }
        None => Ok(()),
    }
}

/// Returns the sidecar and where its decisions are kept; a record made from a listing knows neither.
async fn sidecar(engine: &impl Engine, state: &BottleState) -> Option<(String, PathBuf)> {
    if let Some(sidecar) = &state.sidecar {
        return Some((sidecar.clone(), state.state_dir.clone()?));
    }
    let found = engine.list(Kind::Container, &state.part(role::SIDECAR)).await.ok()?.into_iter().next()?;
    let dir = log::labelled_dir(&found)?;
    Some((found.id, dir))
}
