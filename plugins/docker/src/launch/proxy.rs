//! The sidecar's part of a launch: its way out, its configuration, its secrets, and that it listens.

use std::time::Duration;

use claude_bottle_plugin_api::Result;

use super::{Attempt, Heard, Internal};
use crate::engine::Engine;
use crate::error::DockerError;
use crate::network;
use crate::sidecar::{self, Sidecar};

/// How long a proxy may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sidecar that runs.
pub(super) struct Running {
    pub(super) id: String,
    /// Its address on the inner network.
    pub(super) address: String,
    /// The id of the network that is its way out.
    pub(super) egress: String,
}

impl<E: Engine> Attempt<'_, E> {
    /// Makes and starts the sidecar, and waits until it listens when it says so itself.
    pub(super) async fn sidecar(&self, proxy: &Sidecar, internal: &Internal) -> Result<Running> {
        let name = &self.names.sidecar;
        let egress = network::egress(&self.names.egress, self.owner);
        let (egress, id) = tokio::join!(
            self.network(egress, "create-egress-network"),
            self.configured_sidecar(proxy, internal)
        );
        let (egress, id) = (egress?, id?);
        let connected = self.engine.connect(&egress, &id).await;
        connected.map_err(|source| DockerError::ConnectSidecar { name: name.clone(), source })?;
        self.after("connect-sidecar").await?;

        let shown = self.call.step("start-sidecar", format!("starting container {name}"));
        let started = self.start(&id, name, proxy.word, &proxy.secrets);
        match tokio::time::timeout(PATIENCE, started).await {
            Ok(heard) => {
                if let Heard::End(output) = heard? {
                    return Err(self.ended(&id, output).await.into());
                }
            }
            Err(_) => return Err(self.silent(&id).await.into()),
        }
        self.after("start-sidecar").await?;
        let address = self.sidecar_address(&id, &internal.id).await?;
        shown.done();
        Ok(Running { id, address, egress })
    }

    async fn configured_sidecar(&self, proxy: &Sidecar, internal: &Internal) -> Result<String> {
        let name = &self.names.sidecar;
        let id = self.create(name, proxy.container(self.owner, &internal.id), "create-sidecar").await?;
        let shown = self.call.step("configure-sidecar", format!("configuring container {name}"));
        let config = sidecar::config(self.plan, &internal.subnets, !proxy.secrets.is_empty())?;
        let (path, archive) = proxy.config_archive(&config)?;
        let put = self.engine.put_archive(&id, path, archive).await;
        put.map_err(|source| DockerError::ConfigureSidecar { name: name.clone(), source })?;
        self.after("configure-sidecar").await?;
        shown.done();
        Ok(id)
    }

    async fn ended(&self, id: &str, output: String) -> DockerError {
        let name = self.names.sidecar.clone();
        match self.engine.inspect_container(id).await {
            Ok(found) => DockerError::SidecarEnded { name, code: found.exit_code, output },
            Err(source) => DockerError::InspectContainer { name, source },
        }
    }

    async fn silent(&self, id: &str) -> DockerError {
        let (name, output) = (self.names.sidecar.clone(), self.log_tail(id).await);
        DockerError::SidecarSilent { name, port: self.plan.port, output }
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

    /// Waits for a sidecar that does not say when it listens.
    pub(super) async fn ask_sidecar(&self, agent: &str, sidecar: &Running) -> Result<()> {
        let shown = self.call.step("await-sidecar", "waiting for the sidecar");
        let ready =
            async { Ok(sidecar::await_ready(self.engine, agent, &sidecar.address, self.plan.port).await?) };
        if !crate::cancel::unless_cancelled(self.call, ready).await? {
            return Err(self.silent(&sidecar.id).await.into());
        }
        shown.done();
        Ok(())
    }
}
