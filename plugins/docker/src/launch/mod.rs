//! Plan → Bottle: networks, images, sidecar, agent, in that order, what is independent at the same time.
//!
//! Every resource goes onto the undo stack the moment it exists. A failure at any step removes all of it, containers
//! before networks, and then whatever else carries this run's label, in case the engine made something whose answer was lost.

mod container;
pub(crate) mod undo;

use claude_bottle_backend_shared::Labels;
use claude_bottle_plugin_api::{Bottle, Call, Failure, FailureKind, Plan, Result};

use crate::config::Config;
use crate::engine::{Engine, EngineError, Kind};
use crate::error::DockerError;
use crate::names::{MAX_CANDIDATES, Names};
use crate::plan::{BottleState, PlanState, selector};
use crate::sidecar::{self, Sidecar};
use crate::{image, network};
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

/// Makes the bottle.
pub(crate) async fn launch(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Plan,
) -> Result<Bottle> {
    let plan: PlanState = plan.state()?;
    let owner = Labels::new(&plan.spec);
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
        let mut failures = attempt.undo.run(engine).await;
        if !taken {
            let swept = undo::sweep(engine, &selector(&owner.id, &owner.owner)).await;
            failures
                .extend(swept.into_iter().filter(|failure| !failures.contains(failure)).collect::<Vec<_>>());
            return Err(failure.with_undo(failures));
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

impl<E: Engine> Attempt<'_, E> {
    async fn run(&self) -> Result<BottleState> {
        self.call.check()?;
        // All branches run to their end also when one fails: what is dropped half-way could not be undone.
        let (internal, egress, agent_image, proxy) = tokio::join!(
            self.network(
                network::internal(&self.names.internal, self.plan.isolation, self.owner),
                "create-internal-network"
            ),
            self.network(network::egress(&self.names.egress, self.owner), "create-egress-network"),
            self.agent_image(),
            self.sidecar_image(),
        );
        let (internal, egress, proxy) = (internal?, egress?, proxy?);
        agent_image?;
        let (sidecar, agent) = tokio::join!(self.sidecar(&proxy, &internal, &egress), self.agent(&internal));
        let ((sidecar, address), agent) = (sidecar?, agent?);
        self.await_sidecar(&agent, &sidecar, &address).await?;
        Ok(self.state(agent, sidecar, &address))
    }

    fn state(&self, agent: String, sidecar: String, address: &str) -> BottleState {
        let (plan, spec) = (self.plan, &self.plan.spec);
        BottleState {
            id: spec.id.clone(),
            owner: spec.owner.clone(),
            bottle: spec.bottle.name.clone(),
            names: self.names.clone(),
            agent,
            sidecar: Some(sidecar),
            proxy: Some(format!("http://{address}:{}", plan.port)),
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
        let made = self.engine.create_network(request).await;
        let id = made.map_err(|source| DockerError::CreateNetwork { name: name.clone(), source })?;
        self.undo.push(Kind::Network, id.clone(), name);
        self.after(step).await?;
        Ok(id)
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

    /// Makes and starts the sidecar; returns its id and its address on the inner network.
    async fn sidecar(&self, proxy: &Sidecar, internal: &str, egress: &str) -> Result<(String, String)> {
        let name = &self.names.sidecar;
        let network = || self.names.internal.clone();
        let subnets = self.engine.subnets(internal).await;
        let mut subnets = subnets.map_err(|source| DockerError::ReadNetwork { name: network(), source })?;
        subnets.retain(|range| !range.contains(':'));
        if subnets.is_empty() {
            return Err(DockerError::NetworkWithoutRange { name: network() }.into());
        }

        let id = self.create(name, proxy.container(self.owner, internal), "create-sidecar").await?;
        let (path, archive) = proxy.config_archive(&sidecar::config(self.plan, &subnets)?)?;
        let put = self.engine.put_archive(&id, path, archive).await;
        put.map_err(|source| DockerError::ConfigureSidecar { name: name.clone(), source })?;
        self.after("configure-sidecar").await?;

        let connected = self.engine.connect(egress, &id).await;
        connected.map_err(|source| DockerError::ConnectSidecar { name: name.clone(), source })?;
        self.after("connect-sidecar").await?;

        self.start(&id, name, "start-sidecar").await?;
        let address = self.sidecar_address(&id, internal).await?;
        Ok((id, address))
    }

    async fn sidecar_address(&self, id: &str, internal: &str) -> Result<String> {
        let name = &self.names.sidecar;
        let found = self.engine.inspect_container(id).await;
        let found = found.map_err(|source| DockerError::InspectContainer { name: name.clone(), source })?;
        match found.addresses.get(internal) {
            Some(address) if found.running => Ok(address.clone()),
            _ => {
                let output = if found.error.is_empty() { self.log_tail(id).await } else { found.error };
                Err(DockerError::SidecarEnded { name: name.clone(), code: found.exit_code, output }.into())
            }
        }
    }

    /// Makes and starts the agent's container, in which nothing runs yet but an idle process.
    async fn agent(&self, internal: &str) -> Result<String> {
        let body = container::agent(self.plan, self.owner, internal);
        let id = self.create(&self.names.agent, body, "create-agent").await?;
        self.start(&id, &self.names.agent, "start-agent").await?;
        Ok(id)
    }

    async fn create(
        &self,
        name: &str,
        body: bollard::models::ContainerCreateBody,
        step: &str,
    ) -> Result<String> {
        let made = self.engine.create_container(name, body).await;
        let id = made.map_err(|source| DockerError::CreateContainer { name: name.to_owned(), source })?;
        self.undo.push(Kind::Container, id.clone(), name.to_owned());
        self.after(step).await?;
        Ok(id)
    }

    async fn start(&self, id: &str, name: &str, step: &str) -> Result<()> {
        let started = self.engine.start_container(id).await;
        let started = started.map_err(EngineError::unless_ambiguous);
        started.map_err(|source| DockerError::StartContainer { name: name.to_owned(), source })?;
        self.after(step).await
    }

    async fn await_sidecar(&self, agent: &str, sidecar: &str, address: &str) -> Result<()> {
        let port = self.plan.port;
        let ready = async { Ok(sidecar::await_ready(self.engine, agent, address, port).await?) };
        if !crate::cancel::unless_cancelled(self.call, ready).await? {
            let (name, output) = (self.names.sidecar.clone(), self.log_tail(sidecar).await);
            return Err(DockerError::SidecarSilent { name, port, output }.into());
        }
        self.after("await-sidecar").await
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
