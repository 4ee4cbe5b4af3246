//! Orphans of dead runs: found by label, shown, then removed, containers before networks.

use std::collections::BTreeMap;

use claude_bottle_backend_shared::{Labels, key};
use claude_bottle_plugin_api::{
    Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Failure, Owner, Result,
};
use futures_util::future::join_all;

use crate::active;
use crate::engine::{Engine, Found, Kind};
use crate::error::DockerError;
use crate::names::PREFIX;
use crate::plan::role;
use crate::sidecar::log;

const KINDS: [Kind; 3] = [Kind::Container, Kind::Network, Kind::Volume];

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

/// Saves what the sidecars to be removed decided. One that cannot be saved goes all the same.
///
/// The agents end first, so that none of them is without its sidecar's log.
async fn save_logs(engine: &impl Engine, plan: &CleanupPlan, report: &mut CleanupReport) {
    let labels = [key::ID.to_owned(), key::ROLE.to_owned()];
    let found = engine.list(Kind::Container, &labels).await.unwrap_or_default();
    let of_role = |name: &'static str| {
        let planned = |thing: &&Found| plan.remove.iter().any(|item| item.id == thing.id);
        found.iter().filter(planned).filter(move |thing| thing.labels[key::ROLE] == name)
    };
    join_all(of_role(role::AGENT).map(|agent| engine.kill_container(&agent.id))).await;
    let saves = of_role(role::SIDECAR)
        .filter_map(|sidecar| Some((sidecar, log::labelled_dir(sidecar)?)))
        .map(|(sidecar, dir)| async move { log::save(engine, &sidecar.id, &dir).await });
    let saved = join_all(saves).await;
    report.failures.extend(saved.into_iter().filter_map(Result::err).map(Failure::from));
}

/// Removes what the plan names, in its order.
pub(crate) async fn apply(engine: &impl Engine, plan: &CleanupPlan) -> CleanupReport {
    let mut report = CleanupReport::default();
    save_logs(engine, plan, &mut report).await;
    for kind in KINDS {
        for item in plan.remove.iter().filter(|item| item.kind == kind.word()) {
            match engine.remove(kind, &item.id).await {
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
