//! The backend: one method a verb.

use claude_bottle_directory::inside::INIT;
use claude_bottle_directory::{self as directory, Record, RunDir, Store, close};
use claude_bottle_kit::{connect, host_guard};
use claude_bottle_plugin_api::{
    ActiveBottle, AgentFile, AgentProfile, Backend, Bottle, Call, Capability, CleanupPlan, CleanupReport,
    CleanupScope, ConnectRequest, Connected, Context, EgressSpec, ExecRequest, ExitStatus, ExportRequest,
    Exported, ForwardSpec, Plan, Probe, Provisioned, ReloadRequest, Reloaded, Restore, Result, Spec,
};

use crate::launch::{self, ends};
use crate::plan::Planned;
use crate::{probe, resolve};

/// The bubblewrap backend; public for this crate's tests alone.
pub struct Bubblewrap {
    context: Context,
    bottles: Store,
}

impl Backend for Bubblewrap {
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
    ];

    const SETTINGS: Option<&'static [&'static str]> =
        Some(&["BWRAP", "CONTAINER_HOME", "CONTAINER_SKILLS_DIR", "GUEST"]);
    const FEATURES: &'static [&'static str] = &[
        AgentFile::FEATURE,
        AgentProfile::FEATURE,
        "bottle.tools",
        ForwardSpec::FEATURE,
        "bottle.shm",
        EgressSpec::INTERCEPT,
        Restore::WORKSPACE,
        Restore::SEALED,
        Restore::HISTORY,
    ];

    fn open(context: Context) -> Result<Self> {
        Ok(Self { bottles: Store::new(&context.data_dir), context })
    }

    fn probe(&self, _call: &Call) -> Result<Probe> {
        Ok(probe::probe(&self.context))
    }

    fn prepare(&self, call: &Call, spec: &Spec) -> Result<Plan> {
        call.check()?;
        resolve::resolve(&self.context, spec)
    }

    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle> {
        launch::launch(call, &self.bottles, plan)
    }

    fn provision(&self, call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
        let (dir, plan) = (RunDir::at(bottle.state::<Record>()?.dir), Planned::read(plan)?);
        plan.base.guest(call, &plan.spec, &dir).provision()
    }

    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        directory::exec(call, bottle, request)
    }

    fn halt(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        ends(&self.bottles).halt(bottle)
    }

    fn export(&self, call: &Call, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
        directory::export(call, &self.bottles, bottle, request)
    }

    /// A halted bottle has no control group any more, and is nothing but its directory.
    fn keep(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        ends(&self.bottles).halt(bottle)
    }

    fn connect(&self, call: &Call, bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        connect::by_program(call, request, INIT, |call, program| directory::exec(call, bottle, program))
    }

    fn reload(&self, call: &Call, bottle: &Bottle, request: &ReloadRequest) -> Result<Reloaded> {
        let (dir, record) = close::existing(&self.bottles, bottle)?;
        host_guard::reload(call, &dir.path, &record.name, request)
    }

    fn close(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        ends(&self.bottles).close(bottle)
    }

    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
        directory::plan(call, &self.bottles, scope)
    }

    fn cleanup(&self, call: &Call, plan: &CleanupPlan) -> Result<CleanupReport> {
        Ok(directory::apply(call, plan, |item| ends(&self.bottles).remove(&item.id)))
    }

    fn list_active(&self, _call: &Call) -> Result<Vec<ActiveBottle>> {
        directory::list(&self.bottles)
    }
}
