//! cleanup: what the directory of bottles says, and containers of ours that no directory belongs to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_bottle_directory::{Found, Record, Store, place};
use claude_bottle_kit::cleanup::Judge;
use claude_bottle_kit::{Labels, key};
use claude_bottle_plugin_api::{Call, CleanupItem, CleanupPlan, CleanupScope, Result};

use crate::close::ends;
use crate::engine::{Container, Podman};
use crate::error::PodmanError;

const CONTAINER: &str = "container";

/// How long Podman may take to make the container of a run that was killed while it asked for it.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Finds what dead runs left.
pub(crate) fn plan(
    call: &Call,
    podman: &Podman,
    bottles: &Store,
    scope: &CleanupScope,
) -> Result<CleanupPlan> {
    let (mut plan, mut judge) = (CleanupPlan::default(), Judge::new(call, scope));
    let mut runs = Vec::new();
    for found in bottles.all()? {
        if let Found::Bottle(record) = &found {
            if scope.killed.as_ref().is_some_and(|killed| record.owner.is_same(killed)) {
                await_container(call, podman, record)?;
            }
            runs.push(record.id.clone());
        }
        place(&mut plan, &mut judge, found);
    }
    for container in containers(podman)? {
        let labels = Labels::read(|name| container.labels.get(name).map(String::as_str));
        let mut item = CleanupItem::new(CONTAINER, &container.id, &container.name, "unowned");
        match labels {
            Some(labels) if runs.contains(&labels.id) => {}
            Some(labels) => {
                item.state_dir = labels.state_dir.map(PathBuf::from);
                judge.place(&mut plan, item, labels.owner);
            }
            None => plan.keep.push(item),
        }
    }
    Ok(plan)
}

/// Lists the containers of bottles. Where there is no Podman there are none.
fn containers(podman: &Podman) -> Result<Vec<Container>> {
    match podman.labelled(key::ID) {
        Err(PodmanError::FindPodman) => Ok(Vec::new()),
        found => Ok(found?),
    }
}

/// Waits for the container that a dead process asked for: Podman goes on making it, and it would come after the clean-up.
fn await_container(call: &Call, podman: &Podman, record: &Record) -> Result<()> {
    let label = format!("{}={}", key::ID, record.id);
    let begun = Instant::now();
    while record.has_container
        && record.container.is_none()
        && begun.elapsed() < PATIENCE
        && podman.labelled(&label)?.is_empty()
    {
        call.check()?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Removes one thing that a plan names.
pub(crate) fn remove(podman: &Podman, bottles: &Store, item: &CleanupItem) -> Result<()> {
    if item.kind == CONTAINER {
        return Ok(podman.remove(&item.id)?);
    }
    ends(podman, bottles).remove(&item.id)
}
