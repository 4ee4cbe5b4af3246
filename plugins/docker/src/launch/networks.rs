//! The two networks. They are named after the run, so that no name is taken.

use claude_bottle_plugin_api::Result;

use super::Launch;
use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::network;
use crate::protection::Protection;

/// The inner network, once it exists.
pub(super) struct Internal {
    pub(super) id: String,
    /// Its IPv4 ranges, at least one.
    pub(super) subnets: Vec<String>,
}

impl<E: Engine> Launch<'_, E> {
    /// Makes the inner network, and asks the engine whether it is what it was asked for.
    pub(super) async fn internal_network(&self) -> Result<Internal> {
        let name = network::internal_name(&self.plan.spec.id);
        let request = network::internal(&name, self.plan.isolation, self.owner);
        let id = self.network(request, "create-internal-network").await?;
        let subnets = self.closed_subnets(&id, &name).await?;
        Ok(Internal { id, subnets })
    }

    /// Makes the sidecar's way out; returns its id.
    pub(super) async fn egress_network(&self) -> Result<String> {
        let request = network::egress(&network::egress_name(&self.plan.spec.id), self.owner);
        self.network(request, "create-egress-network").await
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

    async fn closed_subnets(&self, id: &str, name: &str) -> Result<Vec<String>> {
        let found = self.engine.inspect_network(id).await;
        let found = found.map_err(|source| DockerError::ReadNetwork { name: name.to_owned(), source })?;
        if !network::is_closed(&found, self.plan.isolation, id)
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
