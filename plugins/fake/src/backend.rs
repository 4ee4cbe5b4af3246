//! The backend: one method a verb.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use claude_bottle_plugin_api::{
    ActiveBottle, Backend, Bottle, Call, Capability, CleanupItem, CleanupPlan, CleanupReport, CleanupScope,
    Context, EnvValue, ErrorExt, ExecRequest, ExecRole, ExitStatus, Failure, FailureKind, Plan, Probe,
    Provisioned, Result, Secret, Spec,
};

use crate::fault::Fault;
use crate::store::{Record, Store};

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

    fn enter(&self, verb: &str, call: &Call) -> Result<()> {
        tracing::debug!(verb, "enter");
        self.fault.as_ref().map_or(Ok(()), |fault| fault.strike(verb, call))
    }
}

impl Backend for Fake {
    const CAPABILITIES: &'static [Capability] = &[];

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
        let name = format!("fake-{}", spec.id);
        let (mut env, mut secrets) = (Vec::new(), Vec::new());
        for variable in &spec.bottle.env {
            match &variable.value {
                EnvValue::Literal { value } => env.push((variable.name.clone(), value.clone())),
                _ => secrets.push(variable.name.clone()),
            }
        }
        let record = Record {
            id: spec.id.clone(),
            name: name.clone(),
            agent: spec.agent.name.clone(),
            bottle: spec.bottle.name.clone(),
            owner: spec.owner.clone(),
            env,
            secrets,
            prompt: spec.agent.prompt.clone(),
        };
        let mut plan = Plan::new(name, &record)?;
        plan.runtime = Some("none".to_owned());
        plan.limitations.push("the fake backend isolates nothing; it is for tests".to_owned());
        Ok(plan)
    }

    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle> {
        let record: Record = plan.state()?;
        let step = call.step("make-record", "making the record");
        self.enter("launch", call)?;
        call.check()?;
        self.store.insert(&record)?;
        step.done();
        Bottle::new(record.name.clone(), &record)
    }

    fn provision(&self, call: &Call, _plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
        self.enter("provision", call)?;
        call.check()?;
        let record: Record = bottle.state()?;
        let secret = |name: &String| Ok((name.clone(), call.secret(name)?));
        let secrets = record.secrets.iter().map(secret).collect::<Result<_>>()?;
        self.secrets().insert(bottle.name.clone(), secrets);
        Ok(Provisioned::with_prompt(self.store.write_prompt(&bottle.name, &record.prompt)?))
    }

    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        self.enter("exec", call)?;
        let record: Record = bottle.state()?;
        let Some((program, arguments)) = request.command.split_first() else {
            return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
        };
        let io = request.io()?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(record.env).env("PATH", "/usr/bin:/bin");
        for (name, secret) in self.secrets().get(&bottle.name).into_iter().flatten() {
            command.env(name, OsString::from_vec(secret.expose().to_vec()));
        }
        if let (ExecRole::Agent, Some(path)) = (request.role, &request.prompt_path) {
            command.env("PROMPT_PATH", path);
        }
        command.stdin(Stdio::from(io.stdin)).stdout(Stdio::from(io.stdout)).stderr(Stdio::from(io.stderr));
        let status = command.status().failure(FailureKind::Missing, || format!("run `{program}`"))?;
        let killed = || 128 + status.signal().unwrap_or_default();
        Ok(ExitStatus::code(status.code().unwrap_or_else(killed)))
    }

    fn close(&self, call: &Call, bottle: &Bottle) -> Result<()> {
        self.enter("close", call)?;
        self.secrets().remove(&bottle.name);
        self.store.remove(&bottle.name)
    }

    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan> {
        self.enter("prepare_cleanup", call)?;
        let mut plan = CleanupPlan::default();
        for record in self.store.all()? {
            let alive = call.owner_alive(&record.owner);
            let reason = if alive { "its run is alive" } else { "its run is gone" };
            let mut item = CleanupItem::new("bottle", &record.name, &record.name, reason);
            item.owner = Some(record.owner);
            if alive && !scope.all { plan.keep.push(item) } else { plan.remove.push(item) }
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
            active.owner = Some(record.owner);
            Ok(active)
        };
        self.store.all()?.into_iter().map(entry).collect()
    }
}
