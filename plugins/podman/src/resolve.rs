//! prepare: asks Podman and reads the host, refuses what cannot be, and changes nothing.

use claude_bottle_directory::{Home, check, inside, layout};
use claude_bottle_kit::agent_image::{AgentImage, ImageSettings};
use claude_bottle_kit::bwrap::{self, Bwrap};
use claude_bottle_kit::{companions, host_guard};
use claude_bottle_plugin_api::{Context, Failure, FailureKind, Plan, Proxy, Result, Spec};

use crate::engine::{Facts, Podman};
use crate::limits::Limits;
use crate::plan::PlanState;
use crate::probe;

/// Turns a spec into a plan.
pub(crate) fn resolve(
    context: &Context,
    images: &ImageSettings,
    podman: &Podman,
    spec: &Spec,
) -> Result<Plan> {
    refuse_what_is_not_offered(spec)?;
    let facts = podman.facts()?;
    probe::supported(&facts)?;
    let home = Home::from_context(context, claude_bottle_kit::home::skills(&spec.agent))?;
    host_guard::program(spec)?;
    let guest = companions::guest_program(context.setting("GUEST"), Some(spec))?;
    let (mut bwrap, _) = Bwrap::find(context.setting(bwrap::SETTING), guest, &spec.id)?;
    // Root's containers have the numbers of the machine's users.
    bwrap.run_as_uid = bwrap.run_as_uid.map(|_| inside::ID);
    let workspace = check(spec)?;
    let state = PlanState {
        name: format!("claude-bottle-{}", spec.id),
        bwrap,
        home,
        image: AgentImage::of(spec, images),
        limits: Limits::resolve(&spec.bottle.limits, &facts),
        rootless: facts.rootless,
        arch: facts.arch.clone(),
        workspace_bytes: workspace.bytes,
    };
    let mut plan = show(&state, &facts)?;
    layout::place(spec, &state.home)
        .fact(spec)
        .into_iter()
        .for_each(|(label, value)| plan.fact(label, value));
    workspace.facts.into_iter().for_each(|(label, value)| plan.fact(label, value));
    if spec.bottle.image.is_some() {
        plan.limitations
            .push("what the image has in its home is not shown: the bottle has a new one".to_owned());
    }
    Ok(plan)
}

fn refuse_what_is_not_offered(spec: &Spec) -> Result<()> {
    if spec.agent.command.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "the agent's command is empty"));
    }
    match spec.bottle.egress.proxy {
        Proxy::Guard => Ok(()),
        _ => Err(Failure::new(FailureKind::Unsupported, "the podman backend has no proxy but the guard")
            .hint("set bottles.<name>.egress.proxy to guard")
            .hint("use CLAUDE_BOTTLE_BACKEND=docker")),
    }
}

fn show(state: &PlanState, facts: &Facts) -> Result<Plan> {
    let mut plan = Plan::new(state.name.clone(), state)?;
    plan.image = Some(state.image.reference().to_owned());
    plan.runtime = Some(facts.runtime.clone());
    plan.fact("engine", format!("Podman {}, {}", facts.version, probe::whose(facts)));
    plan.fact("proxy", "egress guard");
    plan.fact("network", "none; the proxy is reached through a socket");
    plan.fact("limits", state.limits.bounds.describe());
    plan.fact(
        "user",
        match facts.rootless {
            true => "1000 inside, and you outside (keep-id)",
            false => "1000, inside and outside",
        },
    );
    plan.limitations.extend(state.limits.shortcomings());
    Ok(plan)
}
