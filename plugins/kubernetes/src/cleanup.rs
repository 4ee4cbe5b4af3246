//! cleanup: Pods that have ended, and those of dead runs.
//!
//! A Pod is judged by its owner as everywhere. The number of a process counts on one machine alone, and where nothing is known of it the
//! phase decides, which is the cluster's own word: a Pod that has ended goes, and one that runs lives by its lifeline.

use claude_bottle_kit::cleanup::Judge;
use claude_bottle_plugin_api::{Call, CleanupItem, CleanupPlan, CleanupReport, CleanupScope, Result};

use crate::backend::Kubernetes;
use crate::close;
use crate::cluster::{Cluster, Place};
use crate::list;

/// What an item is called.
const POD: &str = "pod";

/// How long a request may be on its way.
const LATE: std::time::Duration = std::time::Duration::from_secs(1);

/// Finds what dead runs left.
pub(crate) fn plan(backend: &Kubernetes, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
    let (mut plan, mut judge) = (CleanupPlan::default(), Judge::new(call, scope));
    let mut pods = list::pods(backend)?;
    if let Some(killed) = &scope.killed
        && !pods.iter().any(|found| found.labels.as_ref().is_some_and(|labels| labels.owner.is_same(killed)))
    {
        // A request that the dead process had sent may be on its way to the server.
        std::thread::sleep(LATE);
        pods = list::pods(backend)?;
    }
    for found in pods {
        let name = format!("{} ({})", found.name, found.place);
        let mut item = CleanupItem::new(POD, identity(&found), name, "unowned");
        item.state = Some(found.state());
        let has_ended = found.has_ended();
        match found.labels {
            Some(labels) if has_ended => judge.place_ended(&mut plan, item, labels.owner),
            Some(labels) => judge.place(&mut plan, item, labels.owner),
            None => plan.keep.push(item),
        }
    }
    Ok(plan)
}

/// Writes where a Pod is and which it is.
fn identity(found: &list::Found) -> String {
    serde_json::json!([found.place, found.name, found.uid]).to_string()
}

/// Removes what the plan names.
pub(crate) fn apply(backend: &Kubernetes, call: &Call, plan: &CleanupPlan) -> CleanupReport {
    let mut report = CleanupReport::default();
    for item in &plan.remove {
        if let Err(failure) = call.check() {
            report.failures.push(failure);
            break;
        }
        match remove(backend, item) {
            Ok(()) => report.removed.push(item.clone()),
            Err(failure) => report.failures.push(failure.context(format!("cannot remove {}", item.name))),
        }
    }
    report
}

fn remove(backend: &Kubernetes, item: &CleanupItem) -> Result<()> {
    use claude_bottle_plugin_api::{ErrorExt, FailureKind};
    let read: Result<(Place, String, String)> = serde_json::from_str(&item.id)
        .failure(FailureKind::Invalid, || "the item is not one of this backend's");
    let (place, name, uid) = read?;
    Ok(backend.run(async {
        let cluster = Cluster::of(&place).await?;
        close::remove(&cluster, &name, Some(&uid)).await
    })?)
}
