//! The agent's container: made and started, with its secrets in and nothing of the agent's running yet.

use claude_bottle_plugin_api::Result;

use super::{Attempt, Heard, container};
use crate::engine::Engine;
use crate::error::DockerError;
use crate::provision::environment;

impl<E: Engine> Attempt<'_, E> {
    /// Makes the container, starts it, and hands its own process the secrets; returns its id.
    pub(super) async fn agent(&self, internal: &str, secrets: &[u8]) -> Result<String> {
        let name = &self.names.agent;
        let id = self.create(name, container::agent(self.plan, self.owner, internal), "create-agent").await?;
        let shown = self.call.step("start-agent", format!("starting container {name}"));
        let heard = self.start(&id, name, Some(environment::READY), secrets).await?;
        if let Heard::End(output) = heard {
            let found = self.engine.inspect_container(&id).await;
            let found =
                found.map_err(|source| DockerError::InspectContainer { name: name.clone(), source })?;
            let action = "write the secret variables";
            let code = i32::try_from(found.exit_code).unwrap_or(i32::MAX);
            return Err(DockerError::FailedInside { action, code, output }.into());
        }
        self.after("start-agent").await?;
        shown.done();
        Ok(id)
    }
}
