//! The backend: one method a verb; a table of contents.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use claude_bottle_kit::{GuardChange, connect, unanswered};
use claude_bottle_plugin_api::{
    ActiveBottle, AgentFile, AgentProfile, Backend, Bottle, Call, Capability, CleanupPlan, CleanupReport,
    CleanupScope, ConnectRequest, Connected, Context, EgressSpec, ErrorExt, ExecRequest, ExitStatus,
    ExportRequest, Exported, FailureKind, ForwardSpec, Plan, Probe, Provisioned, ReloadRequest, Reloaded,
    Restore, Result, Spec,
};
use tokio::runtime::{Handle, Runtime};

use crate::cluster::Cluster;
use crate::config::{Config, SETTINGS};
use crate::door::{Door, knock};
use crate::log::Follower;
use crate::plan::{Planned, Record};
use crate::pod::GUEST;
use crate::ssh::Agent;
use crate::{cleanup, close, exec, export, launch, list, probe, provision, resolve};

/// The Kubernetes backend.
pub struct Kubernetes {
    pub(crate) config: Config,
    followers: Mutex<HashMap<String, Follower>>,
    /// Connections to bottles, by the identities of their Pods.
    doors: Mutex<HashMap<String, Arc<Door>>>,
    /// What has the keys of bottles, by the same.
    keys: Mutex<HashMap<String, Agent>>,
    /// The last to go: what is above it uses it.
    runtime: Runtime,
}

impl Kubernetes {
    /// Waits for what asks the cluster.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Returns where what asks the cluster runs.
    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Returns the connection to a bottle, which is made unless there is one.
    pub(crate) fn door(&self, record: &Record) -> Result<Arc<Door>> {
        let known = self.doors.lock().unwrap_or_else(PoisonError::into_inner).get(&record.uid).cloned();
        if let Some(door) = known {
            return Ok(door);
        }
        let cluster = self.run(Cluster::of(&record.place))?;
        let first = self.run(knock(&cluster, &record.name));
        let first = first.map_err(|error| crate::door::failure(&record.name, &error))?;
        let door = Door::open(self.handle(), &cluster, &record.name, None, Some(first))?;
        Ok(self.keep(&record.uid, door))
    }

    /// Keeps a connection for the calls to come.
    pub(crate) fn keep(&self, uid: &str, door: Door) -> Arc<Door> {
        let door = Arc::new(door);
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), Arc::clone(&door));
        door
    }

    pub(crate) fn keep_follower(&self, uid: &str, follower: Follower) {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), follower);
    }

    pub(crate) fn keep_keys(&self, uid: &str, agent: Agent) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), agent);
    }

    /// Ends what copies a bottle's decisions in this process.
    pub(crate) fn end_following(&self, uid: &str) {
        let follower = self.followers.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        drop(follower);
    }

    /// Lets go of a bottle that is being removed.
    pub(crate) fn forget(&self, uid: &str) {
        self.end_following(uid);
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

impl Backend for Kubernetes {
    const CAPABILITIES: &'static [Capability] = &[
        Capability::TTY,
        Capability::WORKSPACE,
        Capability::EXPORT,
        Capability::RESUME,
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
        "options",
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
        let config = Config::read(&context)?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("kubernetes").enable_all().build();
        let runtime = runtime.failure(FailureKind::Internal, || "cannot start the backend's threads")?;
        Ok(Self {
            config,
            followers: Mutex::default(),
            doors: Mutex::default(),
            keys: Mutex::default(),
            runtime,
        })
    }

    fn probe(&self, _call: &Call) -> Result<Probe> {
        Ok(probe::probe(self))
    }

    fn prepare(&self, call: &Call, spec: &Spec) -> Result<Plan> {
        resolve::resolve(self, call, spec)
    }

    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle> {
        launch::launch(self, call, plan)
    }

    fn provision(&self, call: &Call, plan: &Plan, _bottle: &Bottle) -> Result<Provisioned> {
        call.check()?;
        Ok(provision::provisioned(&Planned::read(plan)?))
    }

    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        exec::exec(self, call, bottle, request)
    }

    fn halt(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        close::halt(self, bottle)
    }

    fn export(&self, call: &Call, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
        export::export(self, call, bottle, request)
    }

    fn connect(&self, call: &Call, bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        connect::by_program(call, request, GUEST, |call, program| exec::exec(self, call, bottle, program))
    }

    fn reload(&self, call: &Call, bottle: &Bottle, request: &ReloadRequest) -> Result<Reloaded> {
        call.check()?;
        let change = GuardChange::new(call, request)?;
        let door = self.door(&Record::of(bottle)?)?;
        match door.ask(Side::Guard, &Verb::Reload, Some(&mut Cursor::new(change.line())))? {
            Outcome::Answer { line } => change.answer(line.as_bytes()).unwrap_or_else(|| Err(unanswered())),
            _ => Err(door.unexpected("reload")),
        }
    }

    fn close(&self, _call: &Call, bottle: &Bottle) -> Result<()> {
        close::close(self, bottle)
    }

    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
        cleanup::plan(self, call, scope)
    }

    fn cleanup(&self, call: &Call, plan: &CleanupPlan) -> Result<CleanupReport> {
        Ok(cleanup::apply(self, call, plan))
    }

    fn list_active(&self, _call: &Call) -> Result<Vec<ActiveBottle>> {
        list::list(self)
    }
}
