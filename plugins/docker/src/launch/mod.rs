//! Plan → Bottle: the inner network; then beside each other the agent, and the way out with the sidecar on it.
//!
//! An engine makes networks one after the other, so the agent starts while the second is made. Nothing of the agent's runs
//! before both are ready: its container holds an idle process, which takes in the secrets.
//!
//! Every resource goes onto the undo stack the moment it exists. A failure at any step removes all of it, containers
//! before networks, and then whatever else carries this run's label, in case the engine made something whose answer was lost.

mod agent;
mod container;
mod process;
mod proxy;
pub(crate) mod undo;

use claude_bottle_backend_shared::Labels;
use claude_bottle_plugin_api::{Bottle, Call, Failure, FailureKind, Plan, Result};

use crate::config::Config;
use crate::engine::{Engine, EngineError, Kind};
use crate::error::DockerError;
use crate::names::{MAX_CANDIDATES, Names};
use crate::plan::{BottleState, PlanState, selector};
use crate::protection::Protection;
use crate::provision::environment;
use crate::sidecar::{self, Sidecar};
use crate::{image, network};
use process::Heard;
use proxy::Running;
use undo::Undo;

/// How much of a sidecar's log is shown when it fails.
const LOG_TAIL: u32 = 20;

/// What all steps of one attempt share.
struct Attempt<'a, E> {
    engine: &'a E,
    config: &'a Config,
    call: &'a Call,
    plan: &'a PlanState,
    owner: &'a Labels,
    names: Names,
    undo: Undo,
}

/// The inner network, once it exists.
struct Internal {
    id: String,
    /// Its IPv4 ranges, at least one.
    subnets: Vec<String>,
}

/// Makes the bottle.
pub(crate) async fn launch(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Plan,
) -> Result<Bottle> {
    let plan: PlanState = plan.state()?;
    let owner = Labels::new(&plan.spec);
    refuse_second(engine, &plan).await?;
    let last = if plan.names.pinned.is_some() { 1 } else { MAX_CANDIDATES };
    for n in 1..=last {
        let names = plan.names.candidate(n);
        let attempt =
            Attempt { engine, config, call, plan: &plan, owner: &owner, names, undo: Undo::default() };
        let failure = match attempt.run().await {
            Ok(state) => return Bottle::new(state.names.agent.clone(), &state),
            Err(failure) => failure,
        };
        // The engine decides whether a name is free, so a conflict is not a failure but the next suffix.
        let taken = failure.kind == FailureKind::Conflict;
        let failures = attempt.undo.run(engine).await;
        if !taken {
            // The sweep tries again what could not be removed, such as a network whose last member was just leaving, and
            // so has the last word on it.
            let left = undo::sweep(engine, &selector(&owner.id, &owner.owner)).await;
            return Err(failure.with_undo(left));
        }
        if let (true, Some(name)) = (failures.is_empty(), &plan.names.pinned) {
            return Err(Failure::from(DockerError::NameTaken { name: name.clone() }).caused_by(&failure));
        }
        if !failures.is_empty() {
            return Err(failure.with_undo(failures));
        }
        tracing::debug!(n, %failure, "a name is taken, trying the next");
    }
    let (first, last) = (plan.names.candidate(1).agent, plan.names.candidate(last).agent);
    Err(DockerError::NamesTaken { first, last }.into())
}

/// Refuses a plan whose bottle exists: two of one run could not be told apart, and closing one would remove the other.
async fn refuse_second(engine: &impl Engine, plan: &PlanState) -> Result<()> {
    let (id, owner) = (&plan.spec.id, &plan.spec.owner);
    let found = engine.list(Kind::Container, &selector(id, owner)).await;
    let found = found.map_err(|source| DockerError::ListLeftovers { name: id.clone(), source })?;
    if found.is_empty() { Ok(()) } else { Err(DockerError::RunExists { id: id.clone() }.into()) }
}

impl<E: Engine> Attempt<'_, E> {
    async fn run(&self) -> Result<BottleState> {
        self.call.check()?;
        Protection::refuse(&self.plan.refused)?;
        let secrets = environment::input(&self.plan.spec, self.call)?;
        // All branches run to their end also when one fails: what is dropped half-way could not be undone.
        let (internal, agent_image, proxy) =
            tokio::join!(self.internal_network(), self.agent_image(), self.sidecar_image());
        let (internal, proxy) = (internal?, proxy?);
        agent_image?;
        let (sidecar, agent) =
            tokio::join!(self.sidecar(&proxy, &internal), self.agent(&internal.id, &secrets));
        let (sidecar, agent) = (sidecar?, agent?);
        if proxy.word.is_none() {
            self.ask_sidecar(&agent, &sidecar).await?;
        }
        self.after("await-sidecar").await?;
        Ok(self.state(agent, sidecar, internal.id))
    }

    fn state(&self, agent: String, sidecar: Running, internal: String) -> BottleState {
        let (plan, spec) = (self.plan, &self.plan.spec);
        BottleState {
            id: spec.id.clone(),
            owner: spec.owner.clone(),
            bottle: spec.bottle.name.clone(),
            names: self.names.clone(),
            agent,
            sidecar: Some(sidecar.id),
            networks: vec![internal, sidecar.egress],
            proxy: Some(format!("http://{}:{}", sidecar.address, plan.port)),
            port: plan.port,
            workspace: plan.workspace(),
            bounds: Some(plan.bounds),
            state_dir: (!spec.state_dir.as_os_str().is_empty()).then(|| spec.state_dir.clone()),
        }
    }

    async fn after(&self, step: &str) -> Result<()> {
        self.config.fault.after(self.call, step).await
    }

    async fn network(&self, request: bollard::models::NetworkCreateRequest, step: &str) -> Result<String> {
        let name = request.name.clone();
        let shown = self.call.step(step, format!("creating network {name}"));
        let made = self.engine.create_network(request).await;
        let id = made.map_err(|source| DockerError::CreateNetwork { name: name.clone(), source })?;
        self.undo.push(Kind::Network, id.clone(), name);
        self.after(step).await?;
        shown.done();
        Ok(id)
    }

    /// Makes the inner network, and asks the engine whether it is what it was asked for.
    async fn internal_network(&self) -> Result<Internal> {
        let request = network::internal(&self.names.internal, self.plan.isolation, self.owner);
        let id = self.network(request, "create-internal-network").await?;
        let name = || self.names.internal.clone();
        let found = self.engine.inspect_network(&id).await;
        let found = found.map_err(|source| DockerError::ReadNetwork { name: name(), source })?;
        if !network::is_closed(&found, self.plan.isolation, &id)
            && !Protection::allowed_missing(&self.plan.spec)?.contains(&Protection::Isolation)
        {
            Protection::refuse(&[Protection::Isolation])?;
        }
        let subnets: Vec<_> = found.subnets.into_iter().filter(|range| !range.contains(':')).collect();
        if subnets.is_empty() {
            return Err(DockerError::NetworkWithoutRange { name: name() }.into());
        }
        Ok(Internal { id, subnets })
    }

    async fn agent_image(&self) -> Result<()> {
        image::ensure(self.engine, self.call, &self.plan.image).await?;
        self.after("agent-image").await
    }

    async fn sidecar_image(&self) -> Result<Sidecar> {
        let sidecar = sidecar::ensure_image(self.engine, self.config, self.call, self.plan).await?;
        self.after("sidecar-image").await?;
        Ok(sidecar)
    }

    async fn create(
        &self,
        name: &str,
        body: bollard::models::ContainerCreateBody,
        step: &str,
    ) -> Result<String> {
        let shown = self.call.step(step, format!("creating container {name}"));
        let made = self.engine.create_container(name, body).await;
        let id = made.map_err(|source| DockerError::CreateContainer { name: name.to_owned(), source })?;
        self.undo.push(Kind::Container, id.clone(), name.to_owned());
        self.after(step).await?;
        shown.done();
        Ok(id)
    }

    /// Starts a container and waits until its own process says `word`, having read `input`.
    async fn start(&self, id: &str, name: &str, word: Option<&str>, input: &[u8]) -> Result<Heard> {
        let failed = |source| DockerError::StartContainer { name: name.to_owned(), source };
        // Hooked in before there is anything to hear.
        let attached = match word {
            Some(_) => Some(self.engine.attach(id, !input.is_empty()).await.map_err(failed)?),
            None => None,
        };
        let started = self.engine.start_container(id).await;
        started.map_err(EngineError::unless_ambiguous).map_err(failed)?;
        let (Some(word), Some(attached)) = (word, attached) else { return Ok(Heard::Word) };
        let heard = async {
            let heard = process::converse(attached, input, word).await;
            Ok(heard.map_err(|source| failed(EngineError::Io { source }))?)
        };
        crate::cancel::unless_cancelled(self.call, heard).await
    }

    /// Returns the last a sidecar said, for a failure's message; without it the failure stands all the same.
    async fn log_tail(&self, id: &str) -> String {
        let (mut stdout, stderr) = self.engine.logs(id, Some(LOG_TAIL)).await.unwrap_or_default();
        stdout.extend(stderr);
        String::from_utf8_lossy(&stdout).into_owned()
    }
}

#[cfg(test)]
mod tests;
