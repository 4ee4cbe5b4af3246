//! Starting what was made: each container is given its input, heard until it is ready, and asked on which networks it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bottle_guest::container::init::READY;
use claude_bottle_door::Handover;
use claude_bottle_kit::Ready;
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};

use super::networks::{Internal, Networks};
use super::{Containers, Launch, before_start};
use crate::engine::{Attached, Container, Engine, EngineError, container_exit_code, unless_ambiguous};
use crate::error::DockerError;
use crate::guest;
use crate::link::LOOPBACK;
use crate::sidecar::{self, Place, Sidecar};

use super::process::{Input, Readiness, ReadyLine, wait_until_ready};

/// How long a proxy may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of a sidecar's log is shown when it fails.
const LOG_TAIL: u32 = 20;

/// What the agent's container is given as it starts.
pub(super) struct StartInput<'a> {
    /// The input of its own process.
    pub(super) secrets: &'a [u8],
    /// The guard's authority, where the container shares no directory with it.
    pub(super) authority: Option<&'a str>,
    /// The bottle's door, where the guard is on this machine.
    pub(super) door: Option<Handover>,
}

/// A sidecar that serves.
pub(super) struct Served {
    /// The address at which the agent finds it.
    pub(super) address: String,
    /// The certificate of its authority, in PEM, when it has one.
    pub(super) authority: Option<String>,
}

/// Reads the authority from the line with which a guard is ready.
fn authority(line: &str) -> Option<String> {
    let said: serde_json::Value = serde_json::from_str(line).ok()?;
    said["ca"].as_str().map(str::to_owned)
}

impl<E: Engine> Launch<'_, E> {
    /// Starts the agent's container, hands its own process the secrets and copies the files in; nothing of the agent's runs yet.
    pub(super) async fn start_agent(
        &self,
        containers: &Containers,
        internal: Option<&Internal>,
        input: StartInput<'_>,
    ) -> Result<()> {
        let (id, name) = (&containers.agent, &containers.names.agent);
        let shown = self.call.step("start-agent", format!("starting container {name}"));
        let line = ReadyLine { stream: 1, ready: Ready::Line(READY.to_owned()) };
        if let Some(archive) = before_start::archive(self.plan, input.authority)? {
            let put = self.engine.put_archive(id, "/", archive).await;
            put.map_err(|source| DockerError::PutArchive { source })?;
        }
        let begun = self.begin(id, name).await?;
        let found = self.inspect(id, name).await?;
        // A container names its network before that exists, so the engine looks it up by name. Linked by a socket it has none.
        if found.running && found.addresses.keys().ne(internal.map(|internal| &internal.id)) {
            return Err(DockerError::AgentOnWrongNetwork { name: name.clone() }.into());
        }
        let hearing = self.await_line(begun, name, &line, Input { bytes: input.secrets, ends: true });
        let heard = match input.door {
            None => hearing.await?,
            Some(door) => self.hand_over(door, found.pid, hearing).await?,
        };
        if let Readiness::End(output) = heard {
            let action = "start the bottle's own process";
            let code = container_exit_code(self.engine, id).await.unwrap_or_default();
            let code = i32::try_from(code).unwrap_or(i32::MAX);
            return Err(DockerError::FailedInside { action, code, output }.into());
        }
        self.after("start-agent").await?;
        shown.done();
        guest::copy_in(self.engine, self.config, self.call, self.plan, id).await
    }

    /// Hands process 1 its door while it is heard. One that has ended is waited for no longer.
    async fn hand_over(
        &self,
        door: Handover,
        pid: u32,
        hearing: impl Future<Output = Result<Readiness>>,
    ) -> Result<Readiness> {
        let (call, has_ended) = (self.call.clone(), Arc::new(AtomicBool::new(false)));
        let runs = {
            let has_ended = Arc::clone(&has_ended);
            move || match has_ended.load(Ordering::Relaxed) {
                true => Err(Failure::new(FailureKind::Internal, "the container has ended")),
                false => Ok(pid),
            }
        };
        let handing = tokio::task::spawn_blocking(move || door.hand_over(&call, runs).map(drop));
        let heard = async {
            let heard = hearing.await;
            has_ended.store(!matches!(heard, Ok(Readiness::Ready(_))), Ordering::Relaxed);
            heard
        };
        let (handed, heard) = tokio::join!(handing, heard);
        match heard? {
            // Its output says why it has ended.
            end @ Readiness::End(_) => Ok(end),
            line @ Readiness::Ready(_) => {
                handed.failure(FailureKind::Internal, || "cannot hand the door over")??;
                Ok(line)
            }
        }
    }

    /// Starts the sidecar, and waits until it has read its secrets.
    pub(super) async fn start_sidecar(
        &self,
        containers: &Containers,
        networks: &Networks,
        proxy: &Sidecar,
    ) -> Result<Served> {
        let (id, name) = (containers.sidecar(), &containers.names.sidecar);
        let shown = self.call.step("start-sidecar", format!("starting container {name}"));
        let config = sidecar::config(self.plan, &self.link_sidecar(containers, networks).await?)?;
        if let Some((path, archive)) = proxy.config_archive(&config)? {
            let put = self.engine.put_archive(id, path, archive).await;
            put.map_err(|source| DockerError::ConfigureSidecar { name: name.clone(), source })?;
        }
        let line = self.run_sidecar(containers, proxy, &proxy.input(&config)).await?;
        self.after("start-sidecar").await?;
        let address = match &networks.internal {
            None => LOOPBACK.to_owned(),
            Some(internal) => self.sidecar_address(containers, internal).await?,
        };
        shown.done();
        Ok(Served { address, authority: authority(&line) })
    }

    /// Gives the sidecar its end of a network; of a socket it has one already.
    async fn link_sidecar<'n>(&self, containers: &Containers, networks: &'n Networks) -> Result<Place<'n>> {
        let Some(internal) = &networks.internal else { return Ok(Place::Socket) };
        let connected = self.engine.connect(&internal.id, containers.sidecar()).await;
        let name = containers.names.sidecar.clone();
        connected.map_err(|source| DockerError::ConnectSidecar { name, source })?;
        self.after("connect-sidecar").await?;
        Ok(Place::Network { port: self.plan.port, subnets: &internal.subnets })
    }

    async fn run_sidecar(&self, containers: &Containers, proxy: &Sidecar, input: &[u8]) -> Result<String> {
        let (id, name) = (containers.sidecar(), &containers.names.sidecar);
        let begun = self.begin(id, name).await?;
        let input = Input { bytes: input, ends: proxy.input_ends() };
        let heard = tokio::time::timeout(PATIENCE, self.await_line(begun, name, proxy.ready_line(), input));
        let Ok(heard) = heard.await else { return Err(self.not_ready_error(containers).await.into()) };
        match heard? {
            Readiness::Ready(line) => Ok(line),
            Readiness::End(output) => {
                let code = container_exit_code(self.engine, id).await.unwrap_or_default();
                Err(DockerError::SidecarEnded { name: name.clone(), code, output }.into())
            }
        }
    }

    /// Waits for a sidecar that listens later than it speaks.
    pub(super) async fn ask_sidecar(&self, containers: &Containers, address: &str) -> Result<()> {
        let shown = self.call.step("await-sidecar", "waiting for the sidecar");
        let (agent, port) = (&containers.agent, self.plan.port);
        let ready = async {
            tokio::select! {
                ready = sidecar::await_ready(self.engine, agent, address, port) => Ok(ready?),
                // A sidecar that has ended never answers: do not ask it further.
                () = sidecar::ended(self.engine, containers.sidecar()) => Ok(false),
            }
        };
        if !claude_bottle_engine::unless_cancelled(self.call, ready).await? {
            return Err(self.not_ready_error(containers).await.into());
        }
        shown.done();
        Ok(())
    }

    /// Attaches to a container's streams and then starts it, so that no output is missed.
    async fn begin(&self, id: &str, name: &str) -> Result<Attached> {
        let failed = |source| DockerError::StartContainer { name: name.to_owned(), source };
        let attached = self.engine.attach(id, true).await.map_err(failed)?;
        let started = self.engine.start_container(id).await;
        started.map_err(unless_ambiguous).map_err(failed)?;
        Ok(attached)
    }

    /// Gives a container's own process its input and waits for its ready line.
    async fn await_line(
        &self,
        begun: Attached,
        name: &str,
        line: &ReadyLine,
        input: Input<'_>,
    ) -> Result<Readiness> {
        let failed = |source| DockerError::StartContainer { name: name.to_owned(), source };
        let heard = async {
            let heard = wait_until_ready(begun, input, line).await;
            Ok(heard.map_err(|source| failed(EngineError::Io { source }))?)
        };
        claude_bottle_engine::unless_cancelled(self.call, heard).await
    }

    /// Returns the sidecar's address on the inner network.
    async fn sidecar_address(&self, containers: &Containers, internal: &Internal) -> Result<String> {
        let (id, name) = (containers.sidecar(), &containers.names.sidecar);
        let found = self.inspect(id, name).await?;
        match found.addresses.get(&internal.id) {
            Some(address) if found.running => Ok(address.clone()),
            _ => {
                let output = if found.error.is_empty() { self.log_tail(id).await } else { found.error };
                Err(DockerError::SidecarEnded { name: name.clone(), code: found.exit_code, output }.into())
            }
        }
    }

    async fn inspect(&self, id: &str, name: &str) -> Result<Container, DockerError> {
        let found = self.engine.inspect_container(id).await;
        found.map_err(|source| DockerError::InspectContainer { name: name.to_owned(), source })
    }

    async fn not_ready_error(&self, containers: &Containers) -> DockerError {
        let (id, name) = (containers.sidecar(), containers.names.sidecar.clone());
        let output = self.log_tail(id).await;
        match self.engine.inspect_container(id).await {
            Ok(found) if !found.running => DockerError::SidecarEnded { name, code: found.exit_code, output },
            _ => DockerError::SidecarNotReady { name, port: self.plan.port, output },
        }
    }

    /// Returns the end of a sidecar's log for a failure's message; empty if it cannot be read.
    async fn log_tail(&self, id: &str) -> String {
        let (mut stdout, stderr) = self.engine.logs(id, Some(LOG_TAIL)).await.unwrap_or_default();
        stdout.extend(stderr);
        String::from_utf8_lossy(&stdout).into_owned()
    }
}
