//! close: the log to its end, then the Pod goes. halt: every program ends, and the files stay for as long as the Pod does.

use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use claude_bottle_plugin_api::{Bottle, FailureKind, Result};
use kube::api::{DeleteParams, Preconditions};

use crate::backend::Kubernetes;
use crate::cluster::{Cluster, asked, twice};
use crate::error::KubernetesError;
use crate::log;
use crate::plan::Record;

/// Removes the bottle; one that is gone is fine.
pub(crate) fn close(backend: &Kubernetes, bottle: &Bottle) -> Result<()> {
    let record = Record::of(bottle)?;
    let finished = log::finish(backend, &record);
    backend.forget(&record.uid);
    let removed = backend.run(async {
        let cluster = Cluster::of(&record.place).await?;
        remove(&cluster, &record.name, Some(&record.uid)).await
    });
    // A Pod that has ended tells nothing any more, which is no reason to keep it.
    if let Err(failure) = finished
        && failure.kind != FailureKind::NotFound
    {
        tracing::warn!(%failure, name = record.name, "the last decisions of the guard are not known");
    }
    Ok(removed?)
}

/// Removes a Pod at once. With an identity, another of the same name is left alone.
pub(crate) async fn remove(cluster: &Cluster, name: &str, uid: Option<&str>) -> Result<(), KubernetesError> {
    let preconditions =
        uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() });
    let parameters = DeleteParams { preconditions, ..DeleteParams::default() }.grace_period(0);
    let pods = cluster.pods();
    match twice(|| asked("remove the Pod", pods.delete(name, &parameters))).await {
        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
        _ => Ok(()),
    }
}

/// Ends every program of the bottle. What they wrote can be exported while the Pod is there.
pub(crate) fn halt(backend: &Kubernetes, bottle: &Bottle) -> Result<()> {
    let record = Record::of(bottle)?;
    let door = backend.door(&record)?;
    match door.ask(Side::Bottle, &Verb::Halt, None)? {
        Outcome::Done => Ok(()),
        _ => Err(door.unexpected("halt")),
    }
}
