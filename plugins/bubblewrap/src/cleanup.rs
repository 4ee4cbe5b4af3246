//! cleanup: what the directory of bottles says.

use claude_bottle_directory::{Store, close, place};
use claude_bottle_kit::cleanup::{Judge, joined};
use claude_bottle_plugin_api::{Call, CleanupPlan, CleanupScope, Result};

use crate::close::tear_down;

/// Finds what dead runs left.
pub(crate) fn plan(call: &Call, bottles: &Store, scope: &CleanupScope) -> Result<CleanupPlan> {
    let (mut plan, mut judge) = (CleanupPlan::default(), Judge::new(call, scope));
    bottles.all()?.into_iter().for_each(|found| place(&mut plan, &mut judge, found));
    Ok(plan)
}

/// Removes the bottle, or what is left of one, that has a directory of this name.
pub(crate) fn remove(bottles: &Store, name: &str) -> Result<()> {
    let dir = bottles.named(name)?;
    match dir.record() {
        Ok(record) if record.dir == dir.path => joined(tear_down(&dir, &record)),
        _ => close::sweep(&dir).and_then(|()| dir.remove()),
    }
}
