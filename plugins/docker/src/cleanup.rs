//! Orphans of dead runs: found by label, shown, then removed, containers before networks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use claude_bottle_backend_shared::{Labels, key};
use claude_bottle_plugin_api::{
    Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Failure, Owner, Result,
};
use futures_util::{StreamExt, stream};

use crate::active;
use crate::engine::{Engine, Found, Kind};
use crate::error::DockerError;
use crate::names::PREFIX;
use crate::plan::role;
use crate::sidecar::log;

const KINDS: [Kind; 3] = [Kind::Container, Kind::Network, Kind::Volume];
/// How many things are removed beside each other.
const AT_ONCE: usize = 16;

/// Finds what belongs to no live run; what has our prefix and not our labels is named and left alone.
pub(crate) async fn find(engine: &impl Engine, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
    let mut plan = CleanupPlan::default();
    let mut alive: BTreeMap<(String, u32, u64), bool> = BTreeMap::new();
    let mut is_alive = |owner: &Owner| {
        let key = (owner.host.clone(), owner.pid, owner.started);
        *alive.entry(key).or_insert_with(|| call.owner_alive(owner))
    };
    for kind in KINDS {
        let found = engine.list(kind, &[]).await;
        let found = found.map_err(|source| DockerError::ListLeftovers { name: "*".to_owned(), source })?;
        for thing in &found {
            let (item, take) = judge(kind, thing, scope, &mut is_alive);
            match (item, take) {
                (Some(item), true) => plan.remove.push(item),
                (Some(item), false) => plan.keep.push(item),
                (None, _) => {}
            }
        }
    }
    Ok(plan)
}

/// Says whether a thing is to be listed, and whether it is to go.
fn judge(
    kind: Kind,
    thing: &Found,
    scope: &CleanupScope,
    is_alive: &mut impl FnMut(&Owner) -> bool,
) -> (Option<CleanupItem>, bool) {
    let labels = Labels::read(|name| thing.labels.get(name).map(String::as_str));
    let mut item = CleanupItem::new(kind.word(), &thing.id, &thing.name, "unowned");
    item.state = (kind == Kind::Container).then(|| active::state(&thing.state));
    let Some(labels) = labels else {
        let ours = thing.labels.contains_key(key::ID) || thing.name.starts_with(PREFIX);
        return (ours.then_some(item), false);
    };
    let alive = is_alive(&labels.owner);
    item.owner = Some(labels.owner);
    item.reason = if alive { "its run is alive" } else { "its run is gone" }.to_owned();
    (Some(item), !alive || scope.all)
}

/// Removes what the plan names, containers before networks, and first saves what the sidecars decided.
///
/// A log that cannot be saved keeps nothing from being removed.
pub(crate) async fn apply(engine: &impl Engine, plan: &CleanupPlan) -> CleanupReport {
    let mut report = CleanupReport::default();
    let logs = &logs(engine, plan).await;
    for kind in KINDS {
        let items = plan.remove.iter().filter(|item| item.kind == kind.word());
        let removals = items.map(|item| async move {
            let saved = match logs.get(&item.id) {
                Some(dir) => log::save(engine, &item.id, dir).await,
                None => Ok(()),
            };
            (item, saved, engine.remove(kind, &item.id).await)
        });
        let mut removals = stream::iter(removals).buffered(AT_ONCE);
        while let Some((item, saved, removed)) = removals.next().await {
            report.failures.extend(saved.err().map(Failure::from));
            match removed {
                Ok(()) => report.removed.push(item.clone()),
                Err(source) => {
                    let name = item.name.clone();
                    report.failures.push(DockerError::Remove { kind: kind.word(), name, source }.into());
                }
            }
        }
    }
    report
}

/// Returns where the decisions of the sidecars to be removed go.
async fn logs(engine: &impl Engine, plan: &CleanupPlan) -> BTreeMap<String, PathBuf> {
    let labels = [key::ID.to_owned(), format!("{}={}", key::ROLE, role::SIDECAR)];
    let found = engine.list(Kind::Container, &labels).await.unwrap_or_default();
    let planned = found.iter().filter(|thing| plan.remove.iter().any(|item| item.id == thing.id));
    // One that never ran has decided nothing.
    let ran = planned.filter(|sidecar| sidecar.state != "created");
    ran.filter_map(|sidecar| Some((sidecar.id.clone(), log::labelled_dir(sidecar)?))).collect()
}
