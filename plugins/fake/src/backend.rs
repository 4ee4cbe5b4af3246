//! The backend: one method a verb.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use claude_bottle_kit::cleanup::Judge;
use claude_bottle_kit::connect;
use claude_bottle_plugin_api::{
    ActiveBottle, Backend, Bottle, BottleState, Call, Capability, CleanupItem, CleanupPlan, CleanupReport,
    CleanupScope, ConnectRequest, Connected, Context, EnvValue, ExecRequest, ExecRole, ExitStatus,
    ExportRequest, Exported, Failure, FailureKind, Plan, Probe, Provisioned, ReloadRequest, Reloaded,
    Restore, Result, Secret, Spec,
};

use crate::fault::Fault;
use crate::store::{Record, Store};
use crate::{files, halt};

/// The in-memory backend.
pub(crate) struct Fake {
    store: Store,
    fault: Option<Fault>,
    secrets: Mutex<Secrets>,
}

/// The secrets of each bottle by variable, in this process's memory alone: a file would outlive it.
type Secrets = BTreeMap<String, Vec<(String, Secret)>>;

impl Fake {
    fn secrets(&self) -> std::sync::MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the home and the directory that programs start in, of a bottle with a working directory.
    fn place(&self, record: &Record) -> Option<(PathBuf, PathBuf)> {
        let workspace = record.workspace.as_ref()?;
        let home = self.store.home(&record.name);
        Some((home.clone(), home.join(files::WORKSPACE).join(&workspace.start)))
    }

    /// Fails when a bottle is gone.
    fn find(&self, bottle: &Bottle) -> Result<()> {
        let gone = || Failure::new(FailureKind::NotFound, format!("there is no bottle `{}`", bottle.name));
        self.store.exists(&bottle.name).then_some(()).ok_or_else(gone)
    }

    fn enter(&self, verb: &str, call: &Call) -> Result<()> {
        tracing::debug!(verb, "enter");
        self.fault.as_ref().map_or(Ok(()), |fault| fault.strike(verb, call))
    }
}

impl Backend for Fake {
    const CAPABILITIES: &'static [Capability] = &[
        Capability::WORKSPACE,
        Capability::EXPORT,
        Capability::RESUME,
        Capability::KEEP,
        Capability::CONNECT,
        Capability::RELOAD,
    ];
    const FEATURES: &'static [&'static str] = &[Restore::WORKSPACE, Restore::SEALED, Restore::HISTORY];
    const SETTINGS: Option<&'static [&'static str]> = Some(&["FAKE_FAULT"]);

    fn open(context: Context) -> Result<Self> {
        Ok(Self {
            store: Store::new(&context.data_dir),
            fault: Fault::from_context(&context)?,
            secrets: Mutex::default(),
        })
    }

    fn probe(&self, call: &Call) -> Result<Probe> {
        self.enter("probe", call)?;
        Ok(Probe::usable().warning("the fake backend isolates nothing; it is for tests"))
    }

    fn prepare(&self, call: &Call, spec: &Spec) -> Result<Plan> {
        self.enter("prepare", call)?;
        call.check()?;
        // An object, although it has nothing in it: a host of contract 1.0 gives the spec back by way of it alone.
        let mut plan = Plan::new(format!("fake-{}", spec.id), &serde_json::Map::new())?;
        plan.runtime = Some("none".to_owned());
        plan.limitations.push("the fake backend isolates nothing; it is for tests".to_owned());
        Ok(plan)
    }

    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle> {
        let record = Record::of(plan.name.clone(), plan.spec()?);
        let step = call.step("make-record", "making the record");
        self.enter("launch", call)?;
        call.check()?;
        self.store.insert(&record)?;
        step.done();
        Bottle::new(record.name.clone(), &record)
    }

    fn provision(&self, call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
        self.enter("provision", call)?;
        call.check()?;
        let spec = plan.spec()?;
        let hidden = spec.bottle.env.iter().filter(|variable| variable.value == EnvValue::Secret);
        let secrets = hidden.map(|variable| Ok((variable.name.clone(), call.secret(&variable.name)?)));
        let secrets = secrets.collect::<Result<_>>()?;
        self.secrets().insert(bottle.name.clone(), secrets);
        if let Some(workspace) = &spec.workspace {
            files::copy_in(workspace, &self.store.home(&bottle.name))?;
        }
        if let Some((home, start)) = self.place(&bottle.state()?) {
            files::lay(spec, &home, &start)?;
        }
        Ok(Provisioned::with_prompt(self.store.write_prompt(&bottle.name, &spec.agent.prompt)?))
    }

    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        self.enter("exec", call)?;
        let record: Record = bottle.state()?;
        self.find(bottle)?;
        let Some((program, arguments)) = request.command.split_first() else {
            return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
        };
        let io = request.io()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&request.env)
            .envs(record.env.iter().cloned())
            .env("PATH", "/usr/bin:/bin");
        for (name, secret) in self.secrets().get(&bottle.name).into_iter().flatten() {
            command.env(name, OsString::from_vec(secret.expose().to_vec()));
        }
        if let (ExecRole::Agent, Some(path)) = (request.role, &request.prompt_path) {
            command.env("PROMPT_PATH", path);
        }
        command.stdin(Stdio::from(io.stdin)).stdout(Stdio::from(io.stdout)).stderr(Stdio::from(io.stderr));
        if let Some((home, start)) = self.place(&record) {
            command.env("HOME", home).current_dir(start);
        }
        halt::run(call, &mut command, &record.name, || self.store.is_halted(&record.name))
    }

    fn halt(&self, call: &Call, bottle: &Bottle) -> Result<()> {
        self.enter("halt", call)?;
        self.find(bottle)?;
        self.store.set_halted(&bottle.name)?;
        halt::end_all(&bottle.name)
    }

    fn export(&self, call: &Call, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
        self.enter("export", call)?;
        let record: Record = bottle.state()?;
        let (home, start) = self.place(&record).unwrap_or_default();
        files::export(call, (&home, &start), request)
    }

    /// A halted bottle is nothing but files.
    fn keep(&self, call: &Call, bottle: &Bottle) -> Result<()> {
        self.enter("keep", call)?;
        self.halt(call, bottle)
    }

    /// Its bottles have the loopback of this machine.
    fn connect(&self, call: &Call, bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        self.enter("connect", call)?;
        self.find(bottle)?;
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, request.port));
        let server = server.map_err(|error| connect::refused(request.port, &error.to_string()))?;
        connect::by_socket(call, request, server.into())
    }

    fn reload(&self, call: &Call, bottle: &Bottle, request: &ReloadRequest) -> Result<Reloaded> {
        self.enter("reload", call)?;
        self.find(bottle)?;
        if let Some(secret) = &request.secret {
            // Its bottles have no proxy that could put it in.
            return call.secret(secret).map(|_| Reloaded::applied());
        }
        claude_bottle_kit::policy(request)?;
        self.store.write_policy(&bottle.name, &request.document)?;
        Ok(Reloaded::applied())
    }

    fn close(&self, call: &Call, bottle: &Bottle) -> Result<()> {
        self.enter("close", call)?;
        self.secrets().remove(&bottle.name);
        self.store.remove(&bottle.name)
    }

    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
        self.enter("prepare_cleanup", call)?;
        let mut plan = CleanupPlan::default();
        let mut judge = Judge::new(call, scope);
        for record in self.store.all()? {
            let item = CleanupItem::new("bottle", &record.name, &record.name, "");
            judge.place(&mut plan, item, record.owner);
        }
        Ok(plan)
    }

    fn cleanup(&self, call: &Call, plan: &CleanupPlan) -> Result<CleanupReport> {
        self.enter("cleanup", call)?;
        let mut report = CleanupReport::default();
        for item in &plan.remove {
            match self.store.remove(&item.id) {
                Ok(()) => report.removed.push(item.clone()),
                Err(failure) => report.failures.push(failure),
            }
        }
        Ok(report)
    }

    fn list_active(&self, call: &Call) -> Result<Vec<ActiveBottle>> {
        self.enter("list_active", call)?;
        let entry = |record: Record| {
            let bottle = Bottle::new(record.name.clone(), &record)?;
            let mut active = ActiveBottle::new(&record.id, &record.agent, &record.bottle, bottle);
            if self.store.is_halted(&record.name) {
                active.state = BottleState::Stopped;
            }
            active.owner = Some(record.owner);
            Ok(active)
        };
        self.store.all()?.into_iter().map(entry).collect()
    }
}
