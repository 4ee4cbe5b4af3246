//! prepare: reads the host, refuses what cannot be, and changes nothing.

use claude_bottle_directory as directory;
use claude_bottle_kit::bwrap::Version;
use claude_bottle_kit::paths;
use claude_bottle_plugin_api::{Context, Failure, FailureKind, Plan, Result, Spec};

use crate::grants::Grants;
use crate::limits::{self, Limits};
use crate::plan::PlanState;
use crate::{inherited, program};

/// Turns a spec into a plan.
pub(crate) fn resolve(context: &Context, spec: &Spec) -> Result<Plan> {
    refuse_an_image(spec)?;
    let host = directory::resolve(context, spec, "bubblewrap")?;
    let command = spec.agent.command.first().map_or("", String::as_str);
    let install = spec.agent.profile.as_ref().map_or(&[][..], |profile| &profile.install);
    let mut grants = Grants::of(&spec.bottle.tools)?;
    let program = program::find(command, install, &host.resolved.home, &mut grants)?;
    let state = PlanState {
        base: host.resolved,
        limits: Limits::resolve(&spec.bottle.limits),
        program,
        grants: grants.settle(),
    };
    let mut plan = show(&state, host.version)?;
    host.facts.into_iter().for_each(|(label, value)| plan.fact(label, value));
    Ok(plan)
}

fn refuse_an_image(spec: &Spec) -> Result<()> {
    let bottle = &spec.bottle;
    if bottle.image.is_none() {
        return Ok(());
    }
    let message = format!("bottle `{}` wants an image, and the bubblewrap backend has none", bottle.name);
    Err(Failure::new(FailureKind::Unsupported, message).hint("use CLAUDE_BOTTLE_BACKEND=docker"))
}

fn show(state: &PlanState, version: Version) -> Result<Plan> {
    let mut plan = Plan::new(state.base.name.clone(), state)?;
    plan.runtime = Some(format!("bubblewrap {version}"));
    plan.fact("agent program", paths::show(&state.program.file));
    if let Some(places) = state.grants.listed() {
        plan.fact("tools", places);
    }
    plan.fact("limits", state.limits.bounds.describe());
    if let Some(id) = state.base.bwrap.run_as_uid {
        plan.fact("user", format!("{id} (root is given up)"));
    }
    plan.limitations.push("the bottle shares the host's kernel and sees the host's /usr".to_owned());
    plan.limitations.extend(state.limits.shortcomings());
    plan.limitations.extend(inherited::sentences(state.limits.bounds.pids, limits::FILE_BYTES));
    Ok(plan)
}
