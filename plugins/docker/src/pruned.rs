//! A bottle whose containers were removed after they had ended, as `docker container prune` does: its volumes still have what
//! the agent left, and are read through a container that is never started.

use std::collections::BTreeMap;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use claude_bottle_kit::Labels;
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};

use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::names::PREFIX;
use crate::plan::{BottleState, labels, role};
use crate::volumes;

/// Where the working directory and the home are in the container that stands in.
const PLACES: [&str; 2] = ["/bottle/work", "/bottle/home"];

/// Returns `true` if the volumes of a bottle are there.
pub(crate) async fn remains(engine: &impl Engine, state: &BottleState) -> Result<bool, DockerError> {
    let found = engine.list(Kind::Volume, &state.part(role::WORK)).await;
    let found = found.map_err(|source| DockerError::ListLeftovers { name: state.id.clone(), source })?;
    Ok(!found.is_empty())
}

/// A container that has a bottle's volumes and never runs.
pub(crate) struct StandIn {
    pub(crate) id: String,
    name: String,
}

impl StandIn {
    /// Makes it, labelled as a part of the bottle, so that it goes with it whatever happens.
    pub(crate) async fn make(engine: &impl Engine, state: &BottleState) -> Result<Self> {
        let Some(image) = &state.image else {
            let message = format!("the containers of bottle `{}` were removed", state.names.agent);
            return Err(Failure::new(FailureKind::NotFound, message));
        };
        let name = format!("{PREFIX}look-{}", state.id);
        // What an earlier process left when it was killed.
        drop(engine.remove(Kind::Container, &name).await);
        let made = engine.create_container(&name, describe(state, image)).await;
        let id = made.map_err(|source| DockerError::CreateContainer { name: name.clone(), source })?;
        Ok(Self { id, name })
    }

    /// Returns where it has the volumes, by their names.
    pub(crate) fn volumes(state: &BottleState) -> BTreeMap<String, String> {
        let [work, home] = PLACES;
        let places = [work.to_owned(), format!("{home}/{}", state.state)];
        volumes::names(&state.id).into_iter().zip(places).collect()
    }

    /// Removes it.
    pub(crate) async fn remove(self, engine: &impl Engine) -> Result<()> {
        let removed = engine.remove(Kind::Container, &self.id).await;
        let kind = Kind::Container.noun();
        removed.failure(FailureKind::Internal, || format!("remove {kind} `{}`", self.name))
    }
}

fn describe(state: &BottleState, image: &str) -> ContainerCreateBody {
    let owner = Labels {
        id: state.id.clone(),
        agent: state.names.agent.clone(),
        bottle: state.bottle.clone(),
        owner: state.owner.clone(),
        state_dir: state.state_dir.as_ref().and_then(|dir| dir.to_str()).map(str::to_owned),
    };
    let mount = |(source, target): (String, String)| Mount {
        source: Some(source),
        target: Some(target),
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    };
    let host = HostConfig {
        network_mode: Some("none".to_owned()),
        mounts: Some(StandIn::volumes(state).into_iter().map(mount).collect()),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(image.to_owned()),
        // An engine asks for some command, also of a container that is never started.
        entrypoint: Some(vec!["/never".to_owned()]),
        labels: labels(&owner, role::LOOK),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}
