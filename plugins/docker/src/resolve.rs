//! Spec → Plan: reads the host and the engine, refuses what cannot work, and makes nothing.

use claude_bottle_plugin_api::{Call, Failure, FailureKind, Plan, Proxy, Result, Spec};

use crate::config::Config;
use crate::engine::Engine;
use crate::error::DockerError;
use crate::image::AgentImage;
use crate::limits::Bounds;
use crate::link::Link;
use crate::names::NameSource;
use crate::options::Options;
use crate::plan::PlanState;
use crate::probe::{self, GVISOR};
use crate::protection::Protection;
use crate::{provision, sidecar};

/// Makes the plan.
pub(crate) async fn resolve(engine: &impl Engine, config: &Config, call: &Call, spec: &Spec) -> Result<Plan> {
    call.check()?;
    if spec.agent.command.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "the agent's command is empty"));
    }
    let options = Options::read(spec)?;
    let facts = engine.facts().await.map_err(|source| DockerError::AskEngine { source })?;
    probe::supported(&facts)?;
    sidecar::check(spec, &facts.arch)?;
    let contents = provision::survey(spec)?;
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
    let bounds = Bounds::of(&spec.bottle.limits, &facts);
    let state = PlanState {
        names,
        image: AgentImage::of(spec, config, &options),
        link: Link::choose(options.link, spec.bottle.egress.proxy, &facts)?,
        refused: missing
            .into_iter()
            .filter(|protection| !options.allow_missing.contains(protection))
            .collect(),
        bounds: if runtime.is_some() { bounds.in_gvisor() } else { bounds },
        runtime,
        arch: facts.arch.clone(),
        port,
        home: config.home.clone(),
        bytes: contents.bytes,
        spec: spec.clone(),
    };
    let mut plan = Plan::new(state.names.candidate(1).agent, &state)?;
    plan.image = Some(state.image.reference().to_owned());
    plan.runtime = Some(probe::runtime_fact(&facts).to_owned());
    plan.fact("engine", facts.version.clone());
    plan.fact("proxy", proxy_fact(spec.bottle.egress.proxy, config));
    plan.fact("network", state.link.describe());
    plan.fact("limits", state.bounds.describe());
    contents.facts.into_iter().for_each(|(label, value)| plan.fact(label, value));
    plan.limitations = probe::limitations(&facts);
    plan.limitations.extend(options.allow_missing.iter().map(|protection| protection.consent()));
    Ok(plan)
}

fn proxy_fact(proxy: Proxy, config: &Config) -> String {
    match proxy {
        Proxy::Pipelock => format!("pipelock ({})", config.pipelock_image),
        _ => "egress guard".to_owned(),
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
