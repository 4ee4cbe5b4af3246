//! The networks: the sidecar's way out, and between it and the agent one more when they are linked by a network. They are
//! named after the run, so that no name is taken.

use claude_bottle_plugin_api::Result;

use super::Launch;
use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::link::Link;
use crate::network::{self, Isolation};
use crate::protection::Protection;

/// The networks, once they exist.
pub(super) struct Networks {
    /// The id of the sidecar's way out.
    pub(super) egress: String,
    /// Missing when agent and sidecar are linked by a socket.
    pub(super) internal: Option<Internal>,
}

impl Networks {
    /// Returns the ids of all.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.egress.as_str()).chain(self.internal.iter().map(|internal| internal.id.as_str()))
    }
}

/// The inner network, once it exists.
pub(super) struct Internal {
    pub(super) id: String,
    /// Its IPv4 ranges, at least one.
    pub(super) subnets: Vec<String>,
}

impl<E: Engine> Launch<'_, E> {
    /// Makes what networks there are to be.
    pub(super) async fn networks(&self) -> Result<Networks> {
        let request = network::egress(&network::egress_name(&self.plan.spec.id), self.owner);
        let egress = self.network(request, "create-egress-network");
        let internal = async {
            match self.plan.link {
                Link::Socket | Link::HostSocket => Ok(None),
                Link::Network(isolation) => self.internal_network(isolation).await.map(Some),
            }
        };
        // Both run to their end also when one fails: what is dropped half-way could not be undone.
        let (egress, internal) = tokio::join!(egress, internal);
        Ok(Networks { egress: egress?, internal: internal? })
    }

    /// Makes the inner network, and asks the engine whether it is what it was asked for.
    async fn internal_network(&self, isolation: Isolation) -> Result<Internal> {
        let name = network::internal_name(&self.plan.spec.id);
        let request = network::internal(&name, isolation, self.owner);
        let id = self.network(request, "create-internal-network").await?;
        let subnets = self.closed_subnets(&id, &name, isolation).await?;
        Ok(Internal { id, subnets })
    }

    async fn network(&self, request: bollard::models::NetworkCreateRequest, step: &str) -> Result<String> {
        let name = request.name.clone();
        let shown = self.call.step(step, format!("creating network {name}"));
        let made = self.engine.create_network(request).await;
        let id = made.map_err(|source| DockerError::CreateNetwork { name, source })?;
        self.undo.push(Kind::Network, id.clone());
        self.after(step).await?;
        shown.done();
        Ok(id)
    }

    async fn closed_subnets(&self, id: &str, name: &str, isolation: Isolation) -> Result<Vec<String>> {
        let found = self.engine.inspect_network(id).await;
        let found = found.map_err(|source| DockerError::ReadNetwork { name: name.to_owned(), source })?;
        if !network::is_closed(&found, isolation, id)
            && !Protection::allowed_missing(&self.plan.spec)?.contains(&Protection::Isolation)
        {
            Protection::refuse(&[Protection::Isolation])?;
        }
        let subnets: Vec<_> = found.subnets.into_iter().filter(|range| !range.contains(':')).collect();
        match subnets.is_empty() {
            true => Err(DockerError::NetworkWithoutRange { name: name.to_owned() }.into()),
            false => Ok(subnets),
        }
    }
}
