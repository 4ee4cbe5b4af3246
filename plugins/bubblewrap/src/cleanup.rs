//! cleanup and list: what the directory of bottles says.

use claude_bottle_kit::cleanup::{Judge, joined};
use claude_bottle_plugin_api::{
    ActiveBottle, Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Result,
};

use crate::close;
use crate::rundir::{Found, Store};

/// Lists every bottle.
pub(crate) fn list(bottles: &Store) -> Result<Vec<ActiveBottle>> {
    let bottles = bottles.all()?.into_iter().filter_map(|found| match found {
        Found::Bottle(record) => Some(record.to_active()),
        Found::Stray(..) => None,
    });
    bottles.collect()
}

/// Finds what dead runs left.
pub(crate) fn plan(call: &Call, bottles: &Store, scope: &CleanupScope) -> Result<CleanupPlan> {
    let (mut plan, mut judge) = (CleanupPlan::default(), Judge::new(call, scope));
    for found in bottles.all()? {
        match found {
            Found::Bottle(record) => {
                let mut item = CleanupItem::new("bottle", &record.name, &record.name, "");
                item.state = Some(record.state());
                judge.place(&mut plan, item, record.owner);
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
pub(crate) fn apply(call: &Call, bottles: &Store, plan: &CleanupPlan) -> Result<CleanupReport> {
    let mut report = CleanupReport::default();
    for item in &plan.remove {
        if let Err(cancelled) = call.check() {
            // What was removed so far is told all the same.
            report.failures.push(cancelled);
            break;
        }
        match remove(bottles, &item.id) {
            Ok(()) => report.removed.push(item.clone()),
            Err(failure) => report.failures.push(failure),
        }
    }
    Ok(report)
}

fn remove(bottles: &Store, id: &str) -> Result<()> {
    let dir = bottles.named(id)?;
    match dir.record() {
        Ok(record) if record.dir == dir.path => joined(close::tear_down(&dir, &record)),
        _ => close::sweep(&dir).and_then(|()| dir.remove()),
    }
}
