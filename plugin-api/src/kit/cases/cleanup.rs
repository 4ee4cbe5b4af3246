//! Cleanup: what dead runs left, and nothing else.

use crate::kit::bench::{Bench, Check, call, ensure};
use crate::kit::program::{self, script};
use crate::{CleanupPlan, ExecRole};

pub(super) fn spares_live(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let plan = session.cleanup_plan(false)?;
    let wrong: Vec<_> = plan.remove.iter().map(|item| item.name.as_str()).collect();
    ensure!(wrong.is_empty(), "the plan would remove {}", wrong.join(", "));
    session.opened.cleanup(&call(), &plan)?;
    let command = script("exit 4", &[]);
    let ended = program::run(&session.opened, &bottle, ExecRole::Command, &command, b"")?;
    ensure!(ended.code == 4, "after the cleanup `exit 4` in the bottle ends with {}", ended.code);
    Ok(())
}

pub(super) fn shows_first(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    session.set_dead(true);
    session.cleanup_plan(false)?;
    session.cleanup_plan(true)?;
    let names: Vec<_> = session.active()?.into_iter().map(|active| active.name).collect();
    ensure!(names == [bottle.name.clone()], "after two plans {names:?} is left");
    Ok(())
}

pub(super) fn finds_dead(bench: &Bench) -> Check {
    let session = bench.session()?;
    session.bottle()?;
    session.set_dead(true);
    let plan = session.cleanup_plan(false)?;
    ensure!(!plan.remove.is_empty(), "the plan is empty");
    let report = session.opened.cleanup(&call(), &plan)?;
    let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
    ensure!(failures.is_empty(), "removing fails: {}", failures.join("; "));
    ensure!(
        report.removed.len() == plan.remove.len(),
        "{} things were planned, and {} reported as removed",
        plan.remove.len(),
        report.removed.len()
    );
    session.check_nothing_left("the cleanup")
}

pub(super) fn twice(bench: &Bench) -> Check {
    let session = bench.session()?;
    session.bottle()?;
    session.set_dead(true);
    let plan = session.cleanup_plan(false)?;
    session.opened.cleanup(&call(), &plan)?;
    let again = session.opened.cleanup(&call(), &plan)?;
    let failures: Vec<_> = again.failures.iter().map(ToString::to_string).collect();
    ensure!(failures.is_empty(), "the second time it fails: {}", failures.join("; "));
    let nothing = session.opened.cleanup(&call(), &CleanupPlan::default())?;
    ensure!(nothing.removed.is_empty() && nothing.failures.is_empty(), "an empty plan removes something");
    Ok(())
}

pub(super) fn all(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let plan = session.cleanup_plan(true)?;
    ensure!(!plan.remove.is_empty(), "`{}` is not in the plan", bottle.name);
    Ok(())
}
