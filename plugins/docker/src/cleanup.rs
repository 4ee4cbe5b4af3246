//! Orphans of dead runs: found by label, shown, then removed, containers before networks. And images of guards of the past.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_bottle_kit::cleanup::Judge;
use claude_bottle_kit::host_guard::{self, HostGuards};
use claude_bottle_kit::{Labels, key};
use claude_bottle_plugin_api::{
    Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Failure, Result,
};
use futures_util::{StreamExt, stream};

use crate::active;
use crate::config::Config;
use crate::engine::{Abandoned, Engine, Found, Kind};
use crate::error::DockerError;
use crate::image::superseded;
use crate::names::PREFIX;
use crate::plan::role;
use crate::sidecar::log;

const KINDS: [Kind; 3] = [Kind::Container, Kind::Network, Kind::Volume];
/// How many things are removed at once.
const AT_ONCE: usize = 16;
/// How often the kernel is asked whether the engine is through, and after how long the engine is asked what there is. A
/// connection of which nothing comes any more makes no event.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long the engine may take over the request of a dead process: seven seconds were seen at a load of 15. Engine 20.10 never closes
/// some connections of clients that were killed while they were attached, and then all of this time passes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds what belongs to no live run; what has our prefix and not our labels is named and left alone.
///
/// About a process that was killed the answer is final: it may have asked for something that the engine is still making.
pub(crate) async fn find(
    engine: &impl Engine,
    own: (&Config, &HostGuards),
    call: &Call,
    scope: &CleanupScope,
) -> Result<CleanupPlan> {
    let Some(killed) = &scope.killed else { return look(engine, own, call, scope).await };
    let (begun, mut asked) = (Instant::now(), engine.abandoned());
    loop {
        let is_final = !asked.remain(engine.abandoned()) || begun.elapsed() > PATIENCE;
        let plan = look(engine, own, call, scope).await?;
        let is_theirs = |item: &CleanupItem| item.owner.as_ref().is_some_and(|owner| owner.is_same(killed));
        // What is there goes first: a request may be one that ends with its container.
        if is_final || plan.remove.iter().any(is_theirs) {
            return Ok(plan);
        }
        until_settled(engine, call, &mut asked).await?;
    }
}

/// Waits until the engine is through with these requests, but not for long.
async fn until_settled(engine: &impl Engine, call: &Call, asked: &mut Abandoned) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < LOOK_AGAIN && asked.remain(engine.abandoned()) {
        call.check()?;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn look(
    engine: &impl Engine,
    (config, guards): (&Config, &HostGuards),
    call: &Call,
    scope: &CleanupScope,
) -> Result<CleanupPlan> {
    let mut plan = CleanupPlan::default();
    let mut judge = Judge::new(call, scope);
    for kind in KINDS {
        let found = engine.list(kind, &[]).await;
        let found = found.map_err(|source| DockerError::ListLeftovers { name: "*".to_owned(), source })?;
        found.iter().for_each(|thing| place(&mut plan, &mut judge, kind, thing));
    }
    guards.plan(&mut plan, &mut judge)?;
    plan.remove.extend(superseded::find(engine, &config.data_dir).await?);
    Ok(plan)
}

/// Adds a thing to the plan if it is a bottle's. One without an owner is kept.
fn place(plan: &mut CleanupPlan, judge: &mut Judge<'_>, kind: Kind, thing: &Found) {
    let mut item = CleanupItem::new(kind.noun(), &thing.id, &thing.name, "unowned");
    item.state = (kind == Kind::Container).then(|| active::state(&thing.state));
    match Labels::read(|name| thing.labels.get(name).map(String::as_str)) {
        Some(labels) => {
            item.state_dir = labels.state_dir.map(PathBuf::from);
            judge.place(plan, item, labels.owner);
        }
        None if thing.labels.contains_key(key::ID) || thing.name.starts_with(PREFIX) => plan.keep.push(item),
        None => {}
    }
}

/// Removes what the plan names, containers before networks, and first saves what the sidecars decided.
///
/// A log that cannot be saved keeps nothing from being removed.
pub(crate) async fn apply(engine: &impl Engine, guards: &HostGuards, plan: &CleanupPlan) -> CleanupReport {
    let mut report = CleanupReport::default();
    let logs = &logs(engine, plan).await;
    for kind in KINDS {
        let items = plan.remove.iter().filter(|item| item.kind == kind.noun());
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
                    report.failures.push(DockerError::Remove { kind: kind.noun(), name, source }.into());
                }
            }
        }
    }
    end_guards(guards, plan, &mut report);
    remove_images(engine, plan, &mut report).await;
    report
}

/// Ends the guards that are processes of this machine. Their bottles are gone by now.
fn end_guards(guards: &HostGuards, plan: &CleanupPlan, report: &mut CleanupReport) {
    for item in plan.remove.iter().filter(|item| item.kind == host_guard::KIND) {
        match guards.end(&item.id) {
            Ok(()) => report.removed.push(item.clone()),
            Err(failure) => report.failures.push(failure),
        }
    }
}

async fn remove_images(engine: &impl Engine, plan: &CleanupPlan, report: &mut CleanupReport) {
    let kind = Kind::Image.noun();
    for item in plan.remove.iter().filter(|item| item.kind == kind) {
        match superseded::remove(engine, item).await {
            Ok(true) => report.removed.push(item.clone()),
            Ok(false) => {}
            Err(source) => {
                let name = item.name.clone();
                report.failures.push(DockerError::Remove { kind, name, source }.into());
            }
        }
    }
}

/// Returns where the decisions of the sidecars to be removed go.
async fn logs(engine: &impl Engine, plan: &CleanupPlan) -> BTreeMap<String, PathBuf> {
    let labels = [key::ID.to_owned(), format!("{}={}", key::ROLE, role::SIDECAR)];
    let found = engine.list(Kind::Container, &labels).await.unwrap_or_default();
    let planned = found.iter().filter(|thing| plan.remove.iter().any(|item| item.id == thing.id));
    // A sidecar that never ran has no decisions.
    let ran = planned.filter(|sidecar| sidecar.state != "created");
    ran.filter_map(|sidecar| Some((sidecar.id.clone(), log::labelled_dir(sidecar)?))).collect()
}
