//! Prepare: resolves and refuses, and makes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::abi::host::CallHost;
use crate::kit::bench::{Bench, Check, Session, Stop, call, caller, ensure};
use crate::kit::snapshot;
use crate::{Bottle, FailureKind, Plan};

/// Names everything of the kit's that is there now.
fn inventory(session: &Session<'_>) -> Check<Vec<String>> {
    let active = session.active()?.into_iter().map(|bottle| bottle.name);
    let cleanup = session.cleanup_plan(true)?.remove.into_iter().map(|item| item.name);
    Ok(active.chain(cleanup).collect())
}

pub(super) fn nothing(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let (things, files) = (inventory(&session)?, snapshot::files(&bench.data_dir()));
    session.opened.prepare(&call(), &spec)?;
    let made: Vec<_> = inventory(&session)?.into_iter().filter(|name| !things.contains(name)).collect();
    ensure!(made.is_empty(), "prepare made {}", made.join(", "));
    ensure!(files == snapshot::files(&bench.data_dir()), "prepare changed files of the data directory");
    ensure!(snapshot::files(&spec.state_dir).is_empty(), "prepare wrote to the run's record directory");
    Ok(())
}

pub(super) fn repeats(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let (first, second) = (session.opened.prepare(&call(), &spec)?, session.opened.prepare(&call(), &spec)?);
    let text = |plan: &Plan| serde_json::to_string(&(&plan.name, &plan.image, &plan.runtime)).ok();
    ensure!(text(&first) == text(&second), "first `{}`, then `{}`", first.name, second.name);
    Ok(())
}

pub(super) fn unknown_field(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = serde_json::to_value(bench.spec()?).map_err(|error| Stop::Fail(error.to_string()))?;
    for place in ["", "/agent", "/bottle", "/bottle/egress", "/owner"] {
        if let Some(fields) = spec.pointer_mut(place).and_then(|value| value.as_object_mut()) {
            fields.insert("kit_no_such_field".to_owned(), json!({ "any": [1] }));
        }
    }
    session.raw("prepare", &spec)?;
    Ok(())
}

pub(super) fn requires(bench: &Bench) -> Check {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    spec.requires.push("kit-no-such-feature".to_owned());
    let kind = session.opened.prepare(&call(), &spec).err().map(|failure| failure.kind);
    ensure!(kind == Some(FailureKind::Unsupported), "prepare comes to {kind:?}");
    Ok(())
}

pub(super) fn cancelled(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let cancelled: Arc<dyn CallHost> = caller(0);
    let kind = session.opened.prepare(&cancelled, &spec).err().map(|failure| failure.kind);
    ensure!(kind == Some(FailureKind::Cancelled), "prepare comes to {kind:?}");
    let plan = session.opened.prepare(&call(), &spec)?;
    let kind = session.launch_with(&cancelled, &spec, &plan).err().map(|failure| failure.kind);
    ensure!(kind == Some(FailureKind::Cancelled), "launch comes to {kind:?}");
    let bottle = session.launch(&spec, &plan)?;
    let kind = session.opened.provision(&cancelled, &spec, &plan, &bottle).err().map(|failure| failure.kind);
    ensure!(kind == Some(FailureKind::Cancelled), "provision comes to {kind:?}");
    Ok(())
}

pub(super) fn secret(bench: &Bench) -> Check {
    let session = bench.session()?;
    let caller = caller(usize::MAX);
    let call: Arc<dyn CallHost> = Arc::<crate::kit::bench::Caller>::clone(&caller);
    session.opened.prepare(&call, &bench.spec()?)?;
    let asked = caller.asked.load(Ordering::Relaxed);
    ensure!(asked == 0, "prepare asked for a secret {asked} times");
    Ok(())
}

pub(super) fn document(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let plan = session.opened.prepare(&call(), &spec)?;
    let text = serde_json::to_string_pretty(&plan).map_err(|error| Stop::Fail(error.to_string()))?;
    let plan: Plan = serde_json::from_str(&text).map_err(|error| Stop::Fail(error.to_string()))?;
    let bottle = session.launch(&spec, &plan)?;
    let text = serde_json::to_string_pretty(&bottle).map_err(|error| Stop::Fail(error.to_string()))?;
    let bottle: Bottle = serde_json::from_str(&text).map_err(|error| Stop::Fail(error.to_string()))?;
    session.opened.provision(&call(), &spec, &plan, &bottle)?;
    session.opened.close(&call(), &bottle)?;
    session.check_nothing_left("closing it by a copy of its document")
}
