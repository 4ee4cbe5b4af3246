//! prepare: reads the host, refuses what cannot be, and changes nothing.

use claude_bottle_directory::{Home, check, layout};
use claude_bottle_kit::bwrap::{self, Bwrap, Version};
use claude_bottle_kit::{companions, host_guard, paths};
use claude_bottle_plugin_api::{Context, Failure, FailureKind, Plan, Proxy, Result, Spec};

use crate::grants::Grants;
use crate::limits::{self, Limits};
use crate::plan::PlanState;
use crate::{inherited, program};

/// Turns a spec into a plan.
pub(crate) fn resolve(context: &Context, spec: &Spec) -> Result<Plan> {
    refuse_what_is_not_offered(spec)?;
    let home = Home::from_context(context, claude_bottle_kit::home::skills(&spec.agent))?;
    host_guard::program(spec)?;
    let guest = companions::guest_program(context.setting("GUEST"), Some(spec))?;
    let (bwrap, version) = Bwrap::find(context.setting(bwrap::SETTING), guest, &spec.id)?;
    let command = spec.agent.command.first();
    let command =
        command.ok_or_else(|| Failure::new(FailureKind::Invalid, "the agent's command is empty"))?;
    let install = spec.agent.profile.as_ref().map_or(&[][..], |profile| &profile.install);
    let mut grants = Grants::of(&spec.bottle.tools)?;
    let program = program::find(command, install, &home, &mut grants)?;
    let workspace = check(spec)?;
    let state = PlanState {
        name: format!("claude-bottle-{}", spec.id),
        workspace_bytes: workspace.bytes,
        limits: Limits::resolve(&spec.bottle.limits),
        bwrap,
        home,
        program,
        grants: grants.settle(),
    };
    let mut plan = show(&state, version)?;
    layout::place(spec, &state.home)
        .fact(spec)
        .into_iter()
        .for_each(|(label, value)| plan.fact(label, value));
    workspace.facts.into_iter().for_each(|(label, value)| plan.fact(label, value));
    Ok(plan)
}

fn refuse_what_is_not_offered(spec: &Spec) -> Result<()> {
    let other = "use CLAUDE_BOTTLE_BACKEND=docker";
    match spec.bottle.egress.proxy {
        Proxy::Guard => {}
        _ => {
            return Err(Failure::new(
                FailureKind::Unsupported,
                "the bubblewrap backend has no proxy but the guard",
            )
            .hint("set bottles.<name>.egress.proxy to guard")
            .hint(other));
        }
    }
    match &spec.bottle.image {
        None => Ok(()),
        Some(_) => {
            let message =
                format!("bottle `{}` wants an image, and the bubblewrap backend has none", spec.bottle.name);
            Err(Failure::new(FailureKind::Unsupported, message).hint(other))
        }
    }
}

fn show(state: &PlanState, version: Version) -> Result<Plan> {
    let mut plan = Plan::new(state.name.clone(), state)?;
    plan.runtime = Some(format!("bubblewrap {version}"));
    plan.fact("agent program", paths::show(&state.program.file));
    if let Some(places) = state.grants.listed() {
        plan.fact("tools", places);
    }
    plan.fact("limits", state.limits.bounds.describe());
    if let Some(id) = state.bwrap.run_as_uid {
        plan.fact("user", format!("{id} (root is given up)"));
    }
    plan.limitations.push("the bottle shares the host's kernel and sees the host's /usr".to_owned());
    plan.limitations.extend(state.limits.shortcomings());
    plan.limitations.extend(inherited::sentences(state.limits.bounds.pids, limits::FILE_BYTES));
    Ok(plan)
}
