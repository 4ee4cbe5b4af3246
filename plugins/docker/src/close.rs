//! Removing a bottle, from its document alone; and keeping what its sidecar decided.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use claude_bottle_plugin_api::{Bottle, Call, Failure, FailureKind, Result};

use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::fault::Fault;
use crate::launch::undo::sweep;
use crate::plan::{BottleState, role};
use claude_bottle_backend_shared::key;

/// Where the decisions of a bottle's proxy are kept, in the run's state directory.
const LOG_FILE: &str = "egress.jsonl";

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

/// Removes the bottle, with nothing asked to go wrong.
#[cfg(test)]
pub(crate) async fn close(engine: &impl Engine, bottle: &Bottle) -> Result<()> {
    close_with(engine, &Faults { fault: &Fault::default(), call: &Call::detached() }, bottle).await
}

/// Removes the bottle: the agent ends first, so that nothing runs without its sidecar's log, then all goes.
pub(crate) async fn close_with(engine: &impl Engine, faults: &Faults<'_>, bottle: &Bottle) -> Result<()> {
    let state: BottleState = bottle.state()?;
    let mut failures: Vec<Failure> = Vec::new();
    // What fails here is tried again by the sweep, which has the last word on it.
    drop(engine.kill_container(&state.agent).await);
    failures.extend(faults.after("kill-agent").await);
    if let Err(error) = save_log(engine, &state).await {
        failures.push(error.into());
    }
    failures.extend(faults.after("save-log").await);
    failures.extend(remove_known(engine, faults, &state).await);
    failures.extend(sweep(engine, &state.selector()).await);
    failures.extend(faults.after("sweep").await);
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Failure::new(FailureKind::Internal, format!("remove bottle `{}`", bottle.name))
            .with_undo(failures)),
    }
}

/// Removes what the record names, as much of it at once as depends on nothing.
async fn remove_known(engine: &impl Engine, faults: &Faults<'_>, state: &BottleState) -> Vec<Failure> {
    let agent = async {
        drop(engine.remove(Kind::Container, &state.agent).await);
        faults.after("remove-agent").await
    };
    let sidecar = async {
        if let Some(sidecar) = &state.sidecar {
            drop(engine.remove(Kind::Container, sidecar).await);
        }
        let removed = faults.after("remove-sidecar").await;
        // The way out has no other member.
        if let [_, egress] = state.networks.as_slice() {
            drop(engine.remove(Kind::Network, egress).await);
        }
        [removed, faults.after("remove-egress-network").await]
    };
    let (agent, [sidecar, egress]) = tokio::join!(agent, sidecar);
    if let Some(internal) = state.networks.first() {
        drop(engine.remove(Kind::Network, internal).await);
    }
    let internal = faults.after("remove-internal-network").await;
    [agent, sidecar, egress, internal].into_iter().flatten().collect()
}

async fn save_log(engine: &impl Engine, state: &BottleState) -> Result<(), DockerError> {
    let (Some(dir), Some(sidecar)) = (&state.state_dir, sidecar(engine, state).await) else { return Ok(()) };
    let (decisions, _) = match engine.logs(&sidecar, None).await {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other.map_err(|source| DockerError::ReadLog { source })?,
    };
    // A state directory that is gone belongs to a run whose records were removed.
    if decisions.is_empty() || !dir.is_dir() {
        return Ok(());
    }
    let path = dir.join(LOG_FILE);
    write_private(&path, &decisions).map_err(|source| DockerError::SaveLog { path, source })
}

async fn sidecar(engine: &impl Engine, state: &BottleState) -> Option<String> {
    if state.sidecar.is_some() {
        return state.sidecar.clone();
    }
    let mut labels = state.selector();
    labels.push(format!("{}={}", key::ROLE, role::SIDECAR));
    Some(engine.list(Kind::Container, &labels).await.ok()?.into_iter().next()?.id)
}

/// Writes a file only its owner can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let open = |path: &Path| -> std::io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    };
    let mut file = open(&temporary)?;
    file.write_all(bytes)?;
    drop(file);
    std::fs::rename(temporary, path)
}
