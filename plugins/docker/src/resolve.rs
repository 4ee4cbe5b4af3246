//! Spec → Plan: reads the host and the engine, refuses what cannot work, and makes nothing.

use claude_bottle_kit::agent_image::AgentImage;
use claude_bottle_kit::companions::guest_program;
use claude_bottle_kit::refuse;
use claude_bottle_plugin_api::{Call, Failure, FailureKind, Plan, Proxy, Result, Spec};

use crate::config::Config;
use crate::engine::Engine;
use crate::engine_id::EngineId;
use crate::error::DockerError;
use crate::guard_place::{self, GuardPlace};
use crate::hardening;
use crate::image::user::AgentUser;
use crate::image::{self, Renew};
use crate::limits::ResolvedLimits;
use crate::link::Link;
use crate::names::NameSource;
use crate::options::Options;
use crate::plan::{PlanState, place_in};
use crate::probe::{self, GVISOR};
use crate::protection::Protection;
use crate::{provision, sidecar};

/// Makes the plan.
pub(crate) async fn resolve(engine: &impl Engine, config: &Config, call: &Call, spec: &Spec) -> Result<Plan> {
    call.check()?;
    refuse::empty_command(spec)?;
    let options = Options::read(spec)?;
    if spec.bottle.user.is_some() && spec.bottle.image.is_none() {
        let message =
            "`user` is for a bottle with an `image`; this backend's own image has the user `node` alone";
        return Err(Failure::new(FailureKind::Invalid, message).hint("leave `user` out, or name an `image`"));
    }
    let facts = engine.facts().await.map_err(|source| DockerError::AskEngine { source })?;
    probe::supported(&facts)?;
    let guest = guest_program(config.guest.as_deref(), Some(spec))?;
    image::guard::check(&guest, &facts.arch)?;
    let asked = (options.guard, options.link);
    let guard = guard_place::choose(engine, config, asked, (spec, guest.clone()), &facts).await?;
    sidecar::check(spec, &facts.arch, &guard)?;
    let mut contents = provision::survey(spec)?;
    let missing = Protection::missing(&facts);
    if let Some(name) = &config.container {
        refuse_taken(engine, name).await?;
    }
    let names = NameSource {
        slug: spec.agent.name.clone(),
        sidecar: sidecar::kind(spec.bottle.egress.proxy)?.to_owned(),
        pinned: config.container.clone(),
    };
    let port = match spec.bottle.egress.port {
        0 => config.port,
        port => port,
    };
    let runtime = probe::has_gvisor(&facts).then(|| GVISOR.to_owned());
    let bounds = ResolvedLimits::of(&spec.bottle.limits, &facts);
    let link = Link::choose(&guard, options.link, spec.bottle.egress.proxy, &facts)?;
    link.check(&spec.bottle.forward)?;
    let proxy = proxy_fact(spec.bottle.egress.proxy, config, &guard);
    let state = PlanState {
        names,
        image: AgentImage::of(spec, &config.images),
        renew: Renew { rebuild: options.rebuild, pull: options.pull },
        link,
        host_guard: guard.into_bwrap(),
        refused: missing
            .into_iter()
            .filter(|protection| !options.allow_missing.contains(protection))
            .collect(),
        bounds: if runtime.is_some() { bounds.in_gvisor() } else { bounds },
        call_filter: hardening::can_filter(&facts),
        runtime,
        arch: facts.arch.clone(),
        engine: Some(EngineId::of(engine, &facts)),
        port,
        guest,
        user: AgentUser::own(config.home()),
        bytes: contents.bytes,
    };
    let mut plan = Plan::new(state.names.candidate(1).agent, &state)?;
    plan.image = Some(state.image.reference().to_owned());
    let runtime = probe::runtime_fact(&facts);
    let place = engine.address().way().map(|_| format!(" at {}", engine.address())).unwrap_or_default();
    // Before the second name of the runtime: the short plan, too, must show which machine it is.
    plan.runtime = Some(runtime.replacen(" (", &format!("{place} ("), 1));
    if spec.bottle.image.is_some() {
        let user = spec.bottle.user.as_deref();
        plan.fact(
            "user",
            user.unwrap_or("as the image says; in place of root its user 1000, or one that is added"),
        );
    }
    plan.fact("engine", format!("{}{place}", facts.version));
    plan.fact("proxy", proxy);
    plan.fact("network", state.link.describe());
    plan.fact("limits", state.bounds.bounds.describe());
    // The home of an image that is not ours is found at its launch.
    let home = config.home.as_deref().or(spec.bottle.image.as_ref().map(|_| "~"));
    contents.facts.extend(place_in(spec, home.unwrap_or(&state.user.home)).fact(spec));
    contents.facts.into_iter().for_each(|(label, value)| plan.fact(label, value));
    plan.limitations = probe::limitations(&facts);
    plan.limitations.extend(options.allow_missing.iter().map(|protection| protection.consent()));
    Ok(plan)
}

fn proxy_fact(proxy: Proxy, config: &Config, guard: &GuardPlace) -> String {
    match proxy {
        Proxy::Pipelock => format!("pipelock ({})", config.pipelock_image),
        _ => guard.describe(),
    }
}

/// Refuses a pinned name that is taken already. The engine decides again when the bottle is launched.
async fn refuse_taken(engine: &impl Engine, name: &str) -> Result<()> {
    match engine.inspect_container(name).await {
        Ok(_) => Err(DockerError::NameTaken { name: name.to_owned() }.into()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(source) => Err(DockerError::InspectContainer { name: name.to_owned(), source }.into()),
    }
}
