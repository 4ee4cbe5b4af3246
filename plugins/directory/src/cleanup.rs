//! cleanup and list: what the directory of bottles says.

use claude_bottle_kit::cleanup::Judge;
use claude_bottle_plugin_api::{
    ActiveBottle, Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Result,
};

use crate::{Found, Store};

/// Lists every bottle.
///
/// # Errors
/// Fails when the directory cannot be read.
pub fn list(bottles: &Store) -> Result<Vec<ActiveBottle>> {
    let bottles = bottles.all()?.into_iter().filter_map(|found| match found {
        Found::Bottle(record) => Some(record.to_active()),
        Found::Stray(..) => None,
    });
    bottles.collect()
}

/// Finds what dead runs left.
///
/// # Errors
/// Fails when the directory cannot be read.
pub fn plan(call: &Call, bottles: &Store, scope: &CleanupScope) -> Result<CleanupPlan> {
    let (mut plan, mut judge) = (CleanupPlan::default(), Judge::new(call, scope));
    bottles.all()?.into_iter().for_each(|found| place(&mut plan, &mut judge, found));
    Ok(plan)
}

/// Puts a thing on its side of the plan.
pub fn place(plan: &mut CleanupPlan, judge: &mut Judge<'_>, found: Found) {
    match found {
        Found::Bottle(record) => {
            let mut item = CleanupItem::new("bottle", &record.name, &record.name, "");
            item.state = Some(record.state());
            judge.place(plan, item, record.owner);
        }
        Found::Stray(path, reason) => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            plan.remove.push(CleanupItem::new("directory", &name, path.display().to_string(), reason));
        }
    }
}

/// Removes what a plan names, each by `remove`, and goes on after a failure.
pub fn apply(call: &Call, plan: &CleanupPlan, remove: impl Fn(&CleanupItem) -> Result<()>) -> CleanupReport {
    let mut report = CleanupReport::default();
    for item in &plan.remove {
        if let Err(cancelled) = call.check() {
            // The report has what was removed so far.
            report.failures.push(cancelled);
            break;
        }
        match remove(item) {
            Ok(()) => report.removed.push(item.clone()),
            Err(failure) => report.failures.push(failure),
        }
    }
    report
}
