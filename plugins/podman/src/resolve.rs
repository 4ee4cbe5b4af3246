//! prepare: asks Podman and reads the host, refuses what cannot be, and changes nothing.

use claude_bottle_directory::{self as directory, inside};
use claude_bottle_kit::agent_image::{AgentImage, ImageSettings};
use claude_bottle_plugin_api::{Context, Plan, Result, Spec};

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
    let facts = podman.facts()?;
    probe::supported(&facts)?;
    let mut host = directory::resolve(context, spec, "podman")?;
    // Root's containers have the numbers of the machine's users.
    host.resolved.bwrap.run_as_uid = host.resolved.bwrap.run_as_uid.map(|_| inside::ID);
    let state = PlanState {
        base: host.resolved,
        image: AgentImage::of(spec, images),
        limits: Limits::resolve(&spec.bottle.limits, &facts),
        rootless: facts.rootless,
        arch: facts.arch.clone(),
    };
    let mut plan = show(&state, &facts)?;
    host.facts.into_iter().for_each(|(label, value)| plan.fact(label, value));
    if spec.bottle.image.is_some() {
        plan.limitations
            .push("what the image has in its home is not shown: the bottle has a new one".to_owned());
    }
    Ok(plan)
}

fn show(state: &PlanState, facts: &Facts) -> Result<Plan> {
    let mut plan = Plan::new(state.base.name.clone(), state)?;
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
