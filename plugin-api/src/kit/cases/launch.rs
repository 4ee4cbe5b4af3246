//! Launch: all or nothing.

use std::sync::Arc;
use std::sync::PoisonError;

use crate::abi::host::CallHost;
use crate::kit::bench::{Bench, Caller, Check, SECRET, call, caller, ensure};
use crate::{BottleState, FailureKind};

/// A launch looks at its call a few dozen times at most; more are not tried.
const MOST_POINTS: usize = 40;

pub(super) fn listed(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let plan = session.opened.prepare(&call(), &spec)?;
    session.launch(&spec, &plan)?;
    let active = session.active()?;
    let Some(bottle) = active.iter().find(|bottle| bottle.id == spec.id) else {
        ensure!(false, "it does not list run `{}` with its owner", spec.id);
        return Ok(());
    };
    ensure!(bottle.agent == spec.agent.name, "it lists the agent as `{}`", bottle.agent);
    ensure!(bottle.bottle == spec.bottle.name, "it lists the bottle as `{}`", bottle.bottle);
    ensure!(bottle.state == BottleState::Running, "it lists the state as {:?}", bottle.state);
    session.opened.close(&call(), &bottle.record)?;
    session.check_nothing_left("closing it by the record in the list")
}

pub(super) fn cancelled(bench: &Bench) -> Check {
    let session = bench.session()?;
    for point in 1..=MOST_POINTS {
        let spec = bench.spec()?;
        let plan = session.opened.prepare(&call(), &spec)?;
        let cancelled: Arc<dyn CallHost> = caller(point);
        match session.launch_with(&cancelled, &spec, &plan) {
            Err(failure) => {
                ensure!(
                    failure.kind == FailureKind::Cancelled,
                    "cancelled at look {point}, it fails with `{:?}`: {failure}",
                    failure.kind
                );
                ensure!(failure.undo.is_empty(), "cancelled at look {point}, undoing failed: {failure}");
                session.check_nothing_left(&format!("a launch cancelled at look {point}"))?;
            }
            // It was done before it looked once more.
            Ok(bottle) => {
                session.opened.close(&call(), &bottle)?;
                ensure!(point > 1, "launch never looks at its call, so it cannot be cancelled");
                return session.check_nothing_left("closing it");
            }
        }
    }
    Ok(())
}

pub(super) fn twice(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let plan = session.opened.prepare(&call(), &spec)?;
    let first = session.launch(&spec, &plan)?;
    match session.launch(&spec, &plan) {
        Ok(second) => {
            ensure!(second.name != first.name, "both bottles are called `{}`", first.name);
            session.opened.close(&call(), &second)?;
        }
        Err(failure) => {
            ensure!(
                failure.kind == FailureKind::Conflict,
                "the second launch fails with `{:?}`: {failure}",
                failure.kind
            );
        }
    }
    let names: Vec<_> = session.active()?.into_iter().map(|bottle| bottle.name).collect();
    ensure!(names == [first.name.clone()], "`{}` was launched, and {names:?} is listed", first.name);
    Ok(())
}

pub(super) fn two(bench: &Bench) -> Check {
    let session = bench.session()?;
    let (first, second) = (session.bottle()?, session.bottle()?);
    ensure!(first.name != second.name, "both bottles are called `{}`", first.name);
    session.opened.close(&call(), &first)?;
    let names: Vec<_> = session.active()?.into_iter().map(|bottle| bottle.name).collect();
    ensure!(names == [second.name.clone()], "after closing the other one, {names:?} is listed");
    Ok(())
}

pub(super) fn secret_hidden(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let caller = caller(usize::MAX);
    let call: Arc<dyn CallHost> = Arc::<Caller>::clone(&caller);
    let plan = session.opened.prepare(&call, &spec)?;
    let bottle = session.launch_with(&call, &spec, &plan)?;
    let provisioned = session.opened.provision(&call, &spec, &plan, &bottle)?;
    let events = caller.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let places = [
        ("the plan", serde_json::to_string(&plan)),
        ("the bottle's document", serde_json::to_string(&bottle)),
        ("the answer of provision", serde_json::to_string(&provisioned)),
        ("the list of bottles", serde_json::to_string(&session.active()?)),
        ("the clean-up plan", serde_json::to_string(&session.cleanup_plan(true)?)),
        ("an event", serde_json::to_string(&events)),
        ("a log record", Ok(session.told())),
    ];
    for (place, text) in places {
        ensure!(!text.unwrap_or_default().contains(SECRET.1), "the value of a secret is in {place}");
    }
    for directory in [&spec.state_dir, &bench.data_dir()] {
        for file in crate::kit::snapshot::files(directory).into_keys() {
            let text = std::fs::read(&file).unwrap_or_default();
            let found = text.windows(SECRET.1.len()).any(|window| window == SECRET.1.as_bytes());
            ensure!(!found, "the value of a secret is in `{}`", file.display());
        }
    }
    Ok(())
}
