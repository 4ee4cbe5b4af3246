//! The containers, made under the first name that is free.

use bollard::models::Mount;
use claude_bottle_plugin_api::{Failure, FailureKind, Result};

use super::{Launch, description};
use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::image;
use crate::names::{MAX_CANDIDATES, Names};
use crate::sidecar::{self, Sidecar};

/// The containers, once they exist.
pub(super) struct Containers {
    pub(super) names: Names,
    /// The agent container's id.
    pub(super) agent: String,
    /// The sidecar's id, when there is one.
    pub(super) sidecar: Option<String>,
}

impl Containers {
    /// Returns the sidecar's id, for the steps that only a bottle with a sidecar has.
    pub(super) fn sidecar(&self) -> &str {
        self.sidecar.as_deref().unwrap_or_default()
    }
}

impl<E: Engine> Launch<'_, E> {
    /// Makes sure of both images, and then makes both containers.
    pub(super) async fn images_and_containers(&self) -> Result<(Containers, Sidecar)> {
        let (agent, proxy) = tokio::join!(self.agent_image(), self.sidecar_image());
        agent?;
        let proxy = proxy?;
        let made = self.under_a_free_name(async |names| {
            let (agent, sidecar) = self.pair(names, &proxy).await?;
            Ok((agent, Some(sidecar)))
        });
        Ok((made.await?, proxy))
    }

    /// Makes the agent's container alone, with these of this machine.
    pub(super) async fn agent_container(&self, mounts: Vec<Mount>) -> Result<Containers> {
        let made = self.under_a_free_name(async |names| {
            let agent = description::agent(self.plan, self.owner, (&names.agent, mounts.clone()));
            Ok((self.create(&names.agent, agent, "create-agent").await?, None))
        });
        made.await
    }

    pub(super) async fn agent_image(&self) -> Result<()> {
        image::ensure(self.engine, self.call, (&self.plan.image, self.plan.renew)).await?;
        self.after("agent-image").await
    }

    async fn sidecar_image(&self) -> Result<Sidecar> {
        let sidecar = sidecar::ensure_image(self.engine, self.config, self.call, self.plan).await?;
        self.after("sidecar-image").await?;
        Ok(sidecar)
    }

    /// The engine decides whether a name is free, so a conflict is not a failure but the next suffix.
    async fn under_a_free_name(
        &self,
        make: impl AsyncFn(&Names) -> Result<(String, Option<String>)>,
    ) -> Result<Containers> {
        let source = &self.plan.names;
        let last = if source.pinned.is_some() { 1 } else { MAX_CANDIDATES };
        for n in 1..=last {
            let names = source.candidate(n);
            let failure = match make(&names).await {
                Ok((agent, sidecar)) => return Ok(Containers { names, agent, sidecar }),
                Err(failure) => failure,
            };
            match &source.pinned {
                _ if failure.kind != FailureKind::Conflict => return Err(failure),
                Some(name) => {
                    let taken = DockerError::NameTaken { name: name.clone() };
                    return Err(Failure::from(taken).caused_by(&failure));
                }
                None => tracing::debug!(n, %failure, "a name is taken, trying the next"),
            }
        }
        let (first, last) = (source.candidate(1).agent, source.candidate(last).agent);
        Err(DockerError::NamesTaken { first, last }.into())
    }

    /// The agent's name comes first and decides between bottles that start at the same time.
    async fn pair(&self, names: &Names, proxy: &Sidecar) -> Result<(String, String)> {
        let agent = description::agent(self.plan, self.owner, (&names.agent, Vec::new()));
        let agent = self.create(&names.agent, agent, "create-agent").await?;
        let sidecar =
            || self.create(&names.sidecar, proxy.container(self.plan, self.owner), "create-sidecar");
        let mut made = sidecar().await;
        // A `cleanup` may have taken an image that had no container yet.
        if made.as_ref().is_err_and(|failure| failure.kind == FailureKind::NotFound) {
            self.sidecar_image().await?;
            made = sidecar().await;
        }
        match made {
            Ok(sidecar) => Ok((agent, sidecar)),
            Err(failure) if failure.kind == FailureKind::Conflict => {
                let removed = self.engine.remove(Kind::Container, &agent).await;
                let (kind, name) = (Kind::Container.noun(), names.agent.clone());
                removed.map_err(|source| DockerError::Remove { kind, name, source })?;
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
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
        self.undo.push(Kind::Container, id.clone());
        self.after(step).await?;
        shown.done();
        Ok(id)
    }
}
