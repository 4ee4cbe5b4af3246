//! The backend: one method a verb.

use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use claude_bottle_directory::{self as directory, Record, RunDir, Store, close, inside};
use claude_bottle_kit::agent_image::ImageSettings;
use claude_bottle_kit::{connect, host_guard};
use claude_bottle_plugin_api::{
    ActiveBottle, AgentFile, AgentProfile, Backend, Bottle, Call, Capability, CleanupPlan, CleanupReport,
    CleanupScope, ConnectRequest, Connected, Context, EgressSpec, ExecRequest, ExitStatus, ExportRequest,
    Exported, ForwardSpec, Plan, Probe, Provisioned, ReloadRequest, Reloaded, Restore, Result, Spec,
};

use crate::close::ends;
use crate::config::SETTINGS;
use crate::engine::{Address, Podman as Engine};
use crate::plan::Planned;
use crate::{cleanup, launch, probe, resolve};

/// The Podman backend.
pub struct Podman {
    context: Context,
    images: ImageSettings,
    engine: Result<Engine>,
    bottles: Store,
    /// What keeps the containers of this process's bottles: each ends with its connection, however this process ends.
    lifelines: Mutex<Vec<UnixStream>>,
}

impl Podman {
    fn engine(&self) -> Result<&Engine> {
        self.engine.as_ref().map_err(Clone::clone)
    }
}

impl Backend for Podman {
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
    ];
    const SETTINGS: Option<&'static [&'static str]> = Some(SETTINGS);
    const FEATURES: &'static [&'static str] = &[
        AgentFile::FEATURE,
        AgentProfile::FEATURE,
        ForwardSpec::FEATURE,
        "bottle.shm",
        EgressSpec::INTERCEPT,
        Restore::WORKSPACE,
        Restore::SEALED,
        Restore::HISTORY,
    ];

    fn open(context: Context) -> Result<Self> {
        let address = Address::find(&|name| std::env::var(name).ok());
        Ok(Self {
            images: ImageSettings::read(&context),
            engine: address.map_err(Into::into).and_then(Engine::new),
            bottles: Store::new(&context.data_dir),
            lifelines: Mutex::default(),
            context,
        })
    }

    fn probe(&self, _call: &Call) -> Result<Probe> {
        Ok(probe::probe(&self.context, self.engine()))
    }

    fn prepare(&self, call: &Call, spec: &Spec) -> Result<Plan> {
        call.check()?;
        resolve::resolve(&self.context, &self.images, self.engine()?, spec)
    }

    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle> {
        let launched = launch::launch(call, self.engine()?, &self.bottles, plan)?;
        self.lifelines.lock().unwrap_or_else(PoisonError::into_inner).push(launched.lifeline);
        launched.record.to_bottle()
    }

    fn provision(&self, call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
        let (dir, plan) = (RunDir::at(bottle.state::<Record>()?.dir), Planned::read(plan)?);
        plan.base.guest(call, &plan.spec, &dir).provision()
    }

    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        directory::exec(call, bottle, request)
    }

    fn halt(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        ends(self.engine()?, &self.bottles).halt(bottle)
    }

    fn export(&self, call: &Call, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
        directory::export(call, &self.bottles, bottle, request)
    }

    /// A halted bottle has no container any more, and is nothing but its directory.
    fn keep(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        ends(self.engine()?, &self.bottles).halt(bottle)
    }

    fn connect(&self, call: &Call, bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        connect::by_program(call, request, inside::INIT, |call, program| {
            directory::exec(call, bottle, program)
        })
    }

    fn reload(&self, call: &Call, bottle: &Bottle, request: &ReloadRequest) -> Result<Reloaded> {
        let (dir, record) = close::existing(&self.bottles, bottle)?;
        host_guard::reload(call, &dir.path, &record.name, request)
    }

    fn close(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        ends(self.engine()?, &self.bottles).close(bottle)
    }

    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
        cleanup::plan(call, self.engine()?, &self.bottles, scope)
    }

    fn cleanup(&self, call: &Call, plan: &CleanupPlan) -> Result<CleanupReport> {
        let engine = self.engine()?;
        Ok(directory::apply(call, plan, |item| cleanup::remove(engine, &self.bottles, item)))
    }

    /// Podman is not asked: the recorded processes show what runs.
    fn list_active(&self, _call: &Call) -> Result<Vec<ActiveBottle>> {
        directory::list(&self.bottles)
    }
}
