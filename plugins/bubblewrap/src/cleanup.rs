//! cleanup and list: what the directory of bottles says.

use claude_bottle_plugin_api::{
    ActiveBottle, Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Result,
};

use crate::close;
use crate::rundir::{Bottles, Found};

/// Lists every bottle.
pub(crate) fn list(bottles: &Bottles) -> Result<Vec<ActiveBottle>> {
    let bottles = bottles.all()?.into_iter().filter_map(|found| match found {
        Found::Bottle(record) => Some(record.to_active()),
        Found::Stray(..) => None,
    });
    bottles.collect()
}

/// Finds what dead runs left.
pub(crate) fn plan(call: &Call, bottles: &Bottles, scope: &CleanupScope) -> Result<CleanupPlan> {
    let mut plan = CleanupPlan::default();
    for found in bottles.all()? {
        match found {
            Found::Bottle(record) => {
                let is_alive = call.owner_alive(&record.owner);
                let reason = if is_alive { "its run is alive" } else { "its run is gone" };
                let mut item = CleanupItem::new("bottle", &record.name, &record.name, reason);
                item.state = Some(record.state());
                item.owner = Some(record.owner);
                if is_alive && !scope.all { plan.keep.push(item) } else { plan.remove.push(item) }
            }
            Found::Stray(path, reason) => {
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let item = CleanupItem::new("directory", &name, path.display().to_string(), reason);
                plan.remove.push(item);
            }
        }
    }
    Ok(plan)
}

/// Removes what a plan names.
pub(crate) fn apply(call: &Call, bottles: &Bottles, plan: &CleanupPlan) -> Result<CleanupReport> {
    let mut report = CleanupReport::default();
    for item in &plan.remove {
        call.check()?;
        match remove(bottles, &item.id) {
            Ok(()) => report.removed.push(item.clone()),
            Err(failure) => report.failures.push(failure),
        }
    }
    Ok(report)
}

fn remove(bottles: &Bottles, id: &str) -> Result<()> {
    let dir = bottles.named(id)?;
    match dir.record() {
        Ok(record) if record.dir == dir.path => close::all_of(close::tear_down(&dir, &record)),
        // What has no record of its own has no processes of its own.
        _ => dir.remove(),
    }
}
