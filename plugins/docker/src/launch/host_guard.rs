//! A bottle whose guard is a process of this machine: one container, and no network.
//!
//! The guard starts first, since the container is made with its directory; it is ready long before the container is. What was
//! started of it is ended here when the launch fails, and the container by the launch itself.

use claude_bottle_door::{self as door, Handover};
use claude_bottle_kit::bwrap::Bwrap;
use claude_bottle_kit::host_files::make_dir;
use claude_bottle_kit::host_guard::{HostGuards, Launched};
use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};

use super::Launch;
use super::containers::Containers;
use super::start::StartInput;
use crate::engine::Engine;
use crate::link::{LOOPBACK, shared};
use crate::plan::BottleState;

impl<E: Engine> Launch<'_, E> {
    /// Makes the bottle. On a failure nothing of the guard is left.
    pub(super) async fn run_with_host_guard(&self, bwrap: &Bwrap, secrets: &[u8]) -> Result<BottleState> {
        let guards = HostGuards::new(&self.config.data_dir);
        let shown = self.call.step("start-guard", "starting the guard");
        let guard = guards.launch(self.call, &self.plan.spec, bwrap)?;
        let made = self.with_guard(guard, secrets).await;
        shown.done();
        made.map_err(|failure| failure.with_undo(guards.end(&self.plan.spec.id).err().into_iter().collect()))
    }

    async fn with_guard(&self, guard: Launched, secrets: &[u8]) -> Result<BottleState> {
        self.after("start-guard").await?;
        let door_dir = guard.dir().join(door::DIR);
        make_dir(door_dir.clone(), 0o755, None)?;
        let door = Handover::make(guard.dir())?;
        let mounts = shared(&self.plan.spec, &guard.socket_dir, &door_dir, &self.plan.guest);
        let call = self.call.clone();
        let listening = tokio::task::spawn_blocking(move || guard.await_ready(&call));
        let made = async {
            self.agent_image().await?;
            self.agent_container(mounts).await
        };
        // Both run to their end also when one fails: what is dropped half-way could not be undone.
        let (listening, made) = tokio::join!(listening, made);
        listening.failure(FailureKind::Internal, || "cannot wait for the guard")??;
        self.after("await-guard").await?;
        let containers: Containers = made.map_err(|failure| match failure.kind {
            FailureKind::Conflict | FailureKind::Cancelled => failure,
            _ => failure.hint("if the engine cannot see your home, set `options.docker.guard` to sidecar"),
        })?;
        self.start_agent(&containers, None, StartInput { secrets, authority: None, door: Some(door) })
            .await?;
        Ok(self.state(&containers, None, LOOPBACK))
    }
}
