//! The backend: one short method a verb; a table of contents.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use claude_bottle_kit::connect;
use claude_bottle_kit::host_guard::HostGuards;
use claude_bottle_plugin_api::{
    ActiveBottle, AgentFile, AgentProfile, Backend, Bottle, Call, Capability, CleanupPlan, CleanupReport,
    CleanupScope, ConnectRequest, Connected, Context, EgressSpec, ErrorExt, ExecRequest, ExitStatus,
    ExportRequest, Exported, FailureKind, ForwardSpec, Health, Plan, Probe, Provisioned, ReloadRequest,
    Reloaded, Restore, Result, Spec,
};
use tokio::runtime::Runtime;

use crate::close::Faults;
use crate::config::{Config, SETTINGS};
use crate::engine::{self, AddressError, DockerApi};
use crate::error::DockerError;
use crate::image::guard::GUEST;
use crate::plan::BottleState;
use crate::sidecar::log::{Followers, follow};
use crate::{active, cleanup, close, engine_id, exec, export, guest, keep, launch, probe, reload, resolve};

/// The Docker backend.
pub struct Docker {
    config: Config,
    engine: Result<Arc<DockerApi>, AddressError>,
    runtime: Runtime,
    followers: Followers,
    guards: HostGuards,
}

impl Docker {
    fn engine(&self) -> Result<&DockerApi> {
        let engine = self.engine.as_deref();
        let failed = |source: &AddressError| DockerError::FindEngine {
            reason: source.to_string(),
            hint: source.hint(),
        };
        Ok(engine.map_err(failed)?)
    }

    /// Copies what the bottle's proxy decides into the run's directory, until the bottle is closed.
    fn follow(&self, bottle: &Bottle) {
        let (Ok(engine), Ok(state)) = (&self.engine, bottle.state::<BottleState>()) else { return };
        if let (Some(sidecar), Some(dir)) = (state.sidecar, state.state_dir) {
            let task = follow(Arc::clone(engine), sidecar, dir);
            self.followers.add(state.id, self.runtime.spawn(task));
        }
    }

    /// Returns the directory of a bottle that has a door on this machine, in this home.
    fn door(&self, bottle: &Bottle) -> Result<Option<PathBuf>> {
        let dir = self.guards.dir(&bottle.state::<BottleState>()?.id)?;
        Ok(Some(dir).filter(|dir| claude_bottle_door::exists(dir)))
    }

    fn end_following(&self, bottle: &Bottle) {
        if let Ok(state) = bottle.state::<BottleState>() {
            self.runtime.block_on(self.followers.end(&state.id));
        }
    }

    /// Returns the engine that a bottle is on.
    fn engine_of(&self, bottle: &Bottle) -> Result<&DockerApi> {
        let engine = self.engine()?;
        self.run(engine_id::check(engine, bottle))?;
        Ok(engine)
    }

    fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(work)
    }
}

impl Backend for Docker {
    const CAPABILITIES: &'static [Capability] = &[
        Capability::TTY,
        Capability::WORKSPACE,
        Capability::EXPORT,
        Capability::RESUME,
        Capability::KEEP,
        Capability::CONNECT,
        Capability::SKILLS,
        Capability::SSH,
        Capability::EGRESS,
        Capability::RELOAD,
        Capability::LIMITS,
        Capability::IMAGE,
        Capability::PIPELOCK,
    ];
    const SETTINGS: Option<&'static [&'static str]> = Some(SETTINGS);
    const FEATURES: &'static [&'static str] = &[
        "options",
        AgentFile::FEATURE,
        EgressSpec::INTERCEPT,
        AgentProfile::FEATURE,
        ForwardSpec::FEATURE,
        "bottle.shm",
        "bottle.user",
        Restore::WORKSPACE,
        Restore::SEALED,
        Restore::HISTORY,
    ];

    fn open(context: Context) -> Result<Self> {
        let config = Config::read(&context)?;
        let engine = engine::find(&|name| std::env::var(name).ok());
        let engine = engine.map(|address| Arc::new(DockerApi::new(address, config.guest.clone())));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("docker").enable_all().build();
        let runtime = runtime.failure(FailureKind::Internal, || "cannot start the backend's threads")?;
        let guards = HostGuards::new(&config.data_dir);
        Ok(Self { config, engine, runtime, followers: Followers::default(), guards })
    }

    fn probe(&self, _call: &Call) -> Result<Probe> {
        let engine = match self.engine.as_deref() {
            Ok(engine) => engine,
            Err(error) => return Ok(Probe::unusable(error.to_string(), error.hint())),
        };
        self.run(async {
            let probe = probe::probe(engine).await;
            let image = match probe.health {
                Health::Usable | Health::Degraded => probe::image_fact(engine, &self.config).await,
                _ => None,
            };
            Ok(match image {
                Some(image) => probe.fact("image", image),
                None => probe,
            })
        })
    }

    fn prepare(&self, call: &Call, spec: &Spec) -> Result<Plan> {
        let engine = self.engine()?;
        self.run(resolve::resolve(engine, &self.config, call, spec))
    }

    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle> {
        let engine = self.engine()?;
        let bottle = self.run(launch::launch(engine, &self.config, call, plan))?;
        self.follow(&bottle);
        Ok(bottle)
    }

    fn provision(&self, call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
        let engine = self.engine_of(bottle)?;
        self.run(guest::provision(engine, &self.config, call, plan, bottle))
    }

    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        let engine = self.engine_of(bottle)?;
        match self.door(bottle)? {
            Some(dir) => self.run(exec::exec_by_door(engine, &self.config, (call, &dir), bottle, request)),
            None => self.run(exec::exec(engine, &self.config, call, bottle, request)),
        }
    }

    fn halt(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        let engine = self.engine_of(bottle)?;
        self.end_following(bottle);
        self.run(export::halt(engine, &self.guards, bottle))
    }

    fn export(&self, call: &Call, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
        let engine = self.engine_of(bottle)?;
        self.run(export::export(engine, call, bottle, request))
    }

    fn keep(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        let engine = self.engine_of(bottle)?;
        self.end_following(bottle);
        self.run(keep::keep(engine, &self.guards, bottle))
    }

    fn connect(&self, call: &Call, bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        connect::by_program(call, request, GUEST, |call, program| self.exec(call, bottle, program))
    }

    fn reload(&self, call: &Call, bottle: &Bottle, request: &ReloadRequest) -> Result<Reloaded> {
        let engine = self.engine_of(bottle)?;
        self.run(reload::reload(engine, &self.guards, call, bottle, request))
    }

    fn close(&self, call: &Call, bottle: &Bottle) -> Result<()> {
        let engine = self.engine_of(bottle)?;
        self.end_following(bottle);
        let faults = Faults { fault: &self.config.fault, call };
        self.run(close::close(engine, &self.guards, &faults, bottle))
    }

    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
        let engine = self.engine()?;
        self.run(cleanup::find(engine, (&self.config, &self.guards), call, scope))
    }

    fn cleanup(&self, _call: &Call, plan: &CleanupPlan) -> Result<CleanupReport> {
        let engine = self.engine()?;
        self.run(async { Ok(cleanup::apply(engine, &self.guards, plan).await) })
    }

    fn list_active(&self, _call: &Call) -> Result<Vec<ActiveBottle>> {
        let engine = self.engine()?;
        self.run(active::list(engine))
    }
}
