//! Plan → Bottle. With a guard on this machine that is one container ([`host_guard`]). With a sidecar the networks are made and beside them both containers. The agent's container starts and is filled as soon as
//! the containers are there, or its network too when it has one; the sidecar as soon as its way out is there as well.
//!
//! Containers are made before their networks exist: an engine looks a network up when a container starts. Nothing of the
//! agent's runs before both containers are ready: its own holds an idle process, which takes in the secrets.
//!
//! Every resource goes onto the undo stack the moment it exists. A failure at any step removes all of it, containers
//! before networks, and then whatever else carries this run's label, in case the engine made something whose answer was lost.

mod before_start;
mod containers;
mod description;
mod host_guard;
mod networks;
pub(crate) mod process;
mod start;
pub(crate) mod undo;

use std::rc::Rc;

use claude_bottle_kit::{Labels, home, trust};
use claude_bottle_plugin_api::{Bottle, Call, Plan, Result};
use futures_util::{FutureExt, TryFutureExt};

use crate::config::Config;
use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::image;
use crate::link::Link;
use crate::plan::{BottleState, Planned, place, selector};
use crate::protection::Protection;
use crate::provision::environment;
use crate::volumes;
use containers::Containers;
use networks::Networks;
use start::StartInput;
use undo::Undo;

/// What all steps of a launch share.
struct Launch<'a, E> {
    engine: &'a E,
    config: &'a Config,
    call: &'a Call,
    plan: &'a Planned,
    owner: &'a Labels,
    undo: Undo,
}

/// Makes the bottle.
pub(crate) async fn launch(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Plan,
) -> Result<Bottle> {
    let mut plan = Planned::read(plan)?;
    let owner = Labels::new(&plan.spec);
    refuse_second(engine, &plan).await?;
    if let Err(failure) = find_user(engine, config, call, &mut plan, &owner).await {
        return Err(failure.with_undo(undo::sweep(engine, &selector(&owner.id, &owner.owner)).await));
    }
    let launch = Launch { engine, config, call, plan: &plan, owner: &owner, undo: Undo::default() };
    let failure = match launch.run().await {
        Ok(state) => return Bottle::new(state.names.agent.clone(), &state),
        Err(failure) => failure,
    };
    launch.undo.run(engine).await;
    // The sweep tries again what could not be removed, such as a network whose last member was just leaving, and so has
    // the last word on it.
    Err(failure.with_undo(undo::sweep(engine, &selector(&owner.id, &owner.owner)).await))
}

/// Refuses a plan whose bottle exists: two of one run could not be told apart, and closing one would remove the other.
async fn refuse_second(engine: &impl Engine, plan: &Planned) -> Result<()> {
    let (id, owner) = (&plan.spec.id, &plan.spec.owner);
    let found = engine.list(Kind::Container, &selector(id, owner)).await;
    let found = found.map_err(|source| DockerError::ListLeftovers { name: id.clone(), source })?;
    if found.is_empty() { Ok(()) } else { Err(DockerError::RunExists { id: id.clone() }.into()) }
}

/// Finds the agent's user, once nothing else forbids a launch.
async fn find_user(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &mut Planned,
    owner: &Labels,
) -> Result<()> {
    call.check()?;
    Protection::refuse(&plan.refused)?;
    image::user::find(engine, call, plan, owner, config.home.as_deref()).await
}

impl<E: Engine> Launch<'_, E> {
    async fn run(&self) -> Result<BottleState> {
        let secrets = environment::input(self.plan, self.call)?;
        match &self.plan.host_guard {
            Some(bwrap) => self.run_with_host_guard(bwrap, &secrets).await,
            None => self.run_with_sidecar(&secrets).await,
        }
    }

    async fn run_with_sidecar(&self, secrets: &[u8]) -> Result<BottleState> {
        // Each is waited for by both branches below.
        let networks = self.networks().map_ok(Rc::new).boxed_local().shared();
        let made = self.images_and_containers().map_ok(Rc::new).boxed_local().shared();
        let sidecar = async {
            let (networks, made) = tokio::join!(networks.clone(), made.clone());
            let (networks, made) = (networks?, made?);
            let served = self.start_sidecar(&made.0, &networks, &made.1).await?;
            Ok((Rc::new(served), networks, made))
        };
        let sidecar = sidecar.boxed_local().shared();
        let agent = async {
            let made = made.clone().await?;
            let networks = match self.plan.link {
                Link::Socket | Link::HostSocket => None,
                Link::Network(_) => Some(networks.clone().await?),
            };
            let internal = networks.as_deref().and_then(|networks| networks.internal.as_ref());
            // Over a network the guard's trust files are copied in, so it has to be there first.
            let served = match internal {
                Some(_) if trust::is_needed(&self.plan.spec) => Some(sidecar.clone().await?.0),
                _ => None,
            };
            let authority = served.as_deref().and_then(|served| served.authority.as_deref());
            self.start_agent(&made.0, internal, StartInput { secrets, authority, door: None }).await
        };
        // Both run to their end also when one fails: what is dropped half-way could not be undone.
        let (served, started): (Result<_>, Result<()>) = tokio::join!(sidecar.clone(), agent);
        let (served, networks, made) = served?;
        let address = &served.address;
        started?;
        let (containers, proxy) = &*made;
        if !proxy.listens_at_its_word() {
            self.ask_sidecar(containers, address).await?;
        }
        self.after("await-sidecar").await?;
        Ok(self.state(containers, Some(&networks), address))
    }

    fn state(&self, containers: &Containers, networks: Option<&Networks>, address: &str) -> BottleState {
        let (plan, spec) = (self.plan, &self.plan.spec);
        BottleState {
            id: spec.id.clone(),
            owner: spec.owner.clone(),
            engine: plan.engine.clone(),
            bottle: spec.bottle.name.clone(),
            names: containers.names.clone(),
            agent: containers.agent.clone(),
            sidecar: containers.sidecar.clone(),
            networks: networks.iter().flat_map(|networks| networks.ids()).map(str::to_owned).collect(),
            volume: plan.link.volume(&spec.id),
            volumes: spec.workspace.iter().flat_map(|_| volumes::names(&spec.id)).collect(),
            proxy: Some(format!("http://{address}:{}", plan.port)),
            port: plan.port,
            workspace: place(plan).start,
            state: home::state(&spec.agent).to_owned(),
            user: Some(plan.user.clone()),
            image: Some(plan.image.reference().to_owned()),
            bounds: Some(plan.bounds),
            variables: spec.bottle.env.iter().map(|variable| variable.name.clone()).collect(),
            state_dir: (!spec.state_dir.as_os_str().is_empty()).then(|| spec.state_dir.clone()),
        }
    }

    async fn after(&self, step: &str) -> Result<()> {
        self.config.fault.after(self.call, step).await
    }
}

#[cfg(test)]
mod tests;
