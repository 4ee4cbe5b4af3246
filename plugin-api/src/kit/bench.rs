//! What every case works with: a host that watches, calls that can be cancelled, bottles that are removed again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::abi::host::{CallHost, HostServices, Module, Opened};
use crate::{
    ActiveBottle, Bottle, CleanupPlan, CleanupScope, Context, EnvVar, Event, Failure, FailureKind, Health,
    LogLevel, LogRecord, Owner, Plan, Result, Secret, Spec,
};

use super::Options;
use super::snapshot::{self, Process};

/// A secret's name and value; the value appears nowhere but inside the bottle.
pub(super) const SECRET: (&str, &str) = ("KIT_SECRET", "canary-7f3b9d51e2");

/// A secret that the guard holds, and its first value.
pub(super) const HELD: &str = "KIT_HELD";
pub(super) const HELD_VALUE: &str = "canary-of-the-kits-guard-1";

/// Why a case ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rule is broken.
    Fail(String),
    /// The rule does not apply.
    Skip(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure.to_string())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Fail(format!("the kit's own work failed: {error}"))
    }
}

/// What a case comes to.
pub(super) type Check<T = ()> = std::result::Result<T, Stop>;

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::kit::bench::Stop::Fail(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host of the kit's backends.
pub(super) struct Host {
    owner: Owner,
    dead: AtomicBool,
    records: Arc<Mutex<Vec<LogRecord>>>,
}

impl HostServices for Host {
    fn enabled(&self, level: LogLevel) -> bool {
        level <= LogLevel::Debug
    }

    fn log(&self, record: LogRecord) {
        lock(&self.records).push(record);
    }

    /// Everybody but the kit itself is alive, so that no case can take another run's bottle for left over.
    fn owner_alive(&self, owner: &Owner) -> Result<bool> {
        Ok(*owner != self.owner || !self.dead.load(Ordering::Relaxed))
    }
}

/// A call that counts how often it was looked at, and can be cancelled at any of these looks.
pub(super) struct Caller {
    looks: AtomicUsize,
    cancel_at: usize,
    now: AtomicBool,
    pipe: Option<(OwnedFd, Mutex<std::io::PipeWriter>)>,
    secrets: BTreeMap<String, String>,
    pub(super) asked: AtomicUsize,
    pub(super) events: Mutex<Vec<Event>>,
}

impl Caller {
    /// Makes a call that is cancelled at the `cancel_at`th look; 0 is before it begins.
    fn new(cancel_at: usize) -> Self {
        let pipe = std::io::pipe().ok().map(|(reader, writer)| (reader.into(), Mutex::new(writer)));
        let caller = Self {
            looks: AtomicUsize::new(0),
            cancel_at,
            now: AtomicBool::new(false),
            pipe,
            secrets: [SECRET, (HELD, HELD_VALUE)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            asked: AtomicUsize::new(0),
            events: Mutex::new(Vec::new()),
        };
        caller.announce(0);
        caller
    }

    /// Counts a look, and returns whether the call is cancelled.
    fn look(&self) -> bool {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.announce(looks);
        looks >= self.cancel_at
    }

    /// Cancels the call, whatever it is doing.
    pub(super) fn cancel(&self) {
        self.now.store(true, Ordering::Relaxed);
        self.make_readable();
    }

    /// Makes the descriptor readable, for good, when the time has come.
    fn announce(&self, looks: usize) {
        if looks == self.cancel_at {
            self.make_readable();
        }
    }

    fn make_readable(&self) {
        if let Some((_, writer)) = &self.pipe {
            drop(lock(writer).write_all(b"x"));
        }
    }
}

impl CallHost for Caller {
    fn event(&self, event: Event) {
        lock(&self.events).push(event);
        self.look();
    }

    fn cancelled(&self) -> bool {
        self.cancel_at == 0 || self.now.load(Ordering::Relaxed) || self.look()
    }

    fn cancel_fd(&self) -> RawFd {
        self.pipe.as_ref().map_or(-1, |(reader, _)| reader.as_raw_fd())
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let value = self.secrets.get(name).map(|value| Secret::new(value.clone().into_bytes()));
        value.ok_or_else(|| Failure::new(FailureKind::NotFound, format!("secret `{name}` is not granted")))
    }
}

/// Makes a call nobody cancels.
pub(super) fn call() -> Arc<dyn CallHost> {
    caller(usize::MAX)
}

/// Makes a call nobody cancels, which has this value for the secret that a guard holds.
pub(super) fn call_with(value: &str) -> Arc<dyn CallHost> {
    let mut caller = Caller::new(usize::MAX);
    caller.secrets.insert(HELD.to_owned(), value.to_owned());
    Arc::new(caller)
}

/// Makes a call that is cancelled at a look.
pub(super) fn caller(cancel_at: usize) -> Arc<Caller> {
    Arc::new(Caller::new(cancel_at))
}

/// The backend under test and what the cases may use.
pub(super) struct Bench {
    pub(super) module: Module,
    pub(super) options: Options,
    /// The process before the backend was opened for the first time.
    pub(super) process: Process,
    /// The kit's files at that time.
    pub(super) files: BTreeMap<PathBuf, u64>,
    records: Arc<Mutex<Vec<LogRecord>>>,
    /// A library's log goes to the host that opened it first, so the first instance stays open.
    first: Option<Opened>,
    next: AtomicUsize,
}

impl Bench {
    pub(super) fn new(module: Module, options: Options) -> Self {
        let (process, files) = (Process::now(), snapshot::files(&options.scratch));
        let (records, next) = (Arc::default(), AtomicUsize::new(1));
        let mut bench = Self { module, options, process, files, records, first: None, next };
        let host: Arc<dyn HostServices> = bench.host();
        bench.first = module.open(host, &bench.context()).ok();
        bench
    }

    fn host(&self) -> Arc<Host> {
        let (owner, records) = (self.options.spec.owner.clone(), Arc::clone(&self.records));
        Arc::new(Host { owner, dead: AtomicBool::new(false), records })
    }

    /// Returns what the backend is opened with; every instance shares the data directory, as every process does.
    pub(super) fn context(&self) -> Context {
        Context {
            host_version: "conformance-kit".to_owned(),
            settings: self.options.settings.clone(),
            data_dir: self.data_dir(),
            contract: None,
        }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.options.scratch.join("data")
    }

    /// Opens an instance of the backend.
    pub(super) fn session(&self) -> Check<Session<'_>> {
        let host = self.host();
        let services: Arc<dyn HostServices> = Arc::<Host>::clone(&host);
        let opened = self.module.open(services, &self.context())?;
        let opened = Arc::new(opened);
        Ok(Session { bench: self, host, opened, launched: Mutex::new(Vec::new()) })
    }

    /// Says why no bottle can be made here, if so.
    pub(super) fn usable(&self) -> std::result::Result<(), String> {
        let session = self.session().map_err(|stop| format!("it does not open: {stop:?}"))?;
        let probe = session.opened.probe(&call()).map_err(|failure| format!("its probe fails: {failure}"))?;
        match probe.health {
            Health::Usable | Health::Degraded => Ok(()),
            _ => Err(format!("no bottle can be made here: {}", probe.reason.unwrap_or_default())),
        }
    }

    /// Makes a spec of a run of its own, with a literal and a secret variable.
    pub(super) fn spec(&self) -> Check<Spec> {
        let mut spec = self.options.spec.clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        spec.id = format!("kit-{}-{number}", std::process::id());
        spec.stage_dir = self.options.scratch.join(&spec.id).join("stage");
        spec.state_dir = self.options.scratch.join(&spec.id).join("state");
        fs::create_dir_all(&spec.stage_dir)?;
        fs::create_dir_all(&spec.state_dir)?;
        spec.bottle
            .env
            .push(EnvVar::literal("KIT_LITERAL", "grün\u{1f98a} 'quoted' \"twice\" $HOME\nsecond line"));
        spec.bottle.env.push(EnvVar::secret(SECRET.0));
        Ok(spec)
    }
}

/// An instance of the backend; the bottles it launched are removed with it.
pub(super) struct Session<'a> {
    pub(super) bench: &'a Bench,
    host: Arc<Host>,
    pub(super) opened: Arc<Opened>,
    launched: Mutex<Vec<Bottle>>,
}

impl Session<'_> {
    /// Launches a bottle and provisions it.
    pub(super) fn bottle(&self) -> Check<Bottle> {
        self.bottle_of(&self.bench.spec()?)
    }

    /// Launches a bottle of this spec and provisions it.
    pub(super) fn bottle_of(&self, spec: &Spec) -> Check<Bottle> {
        let plan = self.opened.prepare(&call(), spec)?;
        let bottle = self.launch(spec, &plan)?;
        self.opened.provision(&call(), spec, &plan, &bottle)?;
        Ok(bottle)
    }

    /// Returns the instance for a thread that may outlive this session.
    pub(super) fn share(&self) -> Arc<Opened> {
        Arc::clone(&self.opened)
    }

    /// Launches a plan, and remembers the bottle so that it is removed whatever happens.
    pub(super) fn launch(&self, spec: &Spec, plan: &Plan) -> Result<Bottle> {
        self.launch_with(&call(), spec, plan)
    }

    pub(super) fn launch_with(&self, call: &Arc<dyn CallHost>, spec: &Spec, plan: &Plan) -> Result<Bottle> {
        let bottle = self.opened.launch(call, spec, plan)?;
        lock(&self.launched).push(bottle.clone());
        Ok(bottle)
    }

    /// Lets the kit's own process count as dead, or alive again.
    pub(super) fn set_dead(&self, dead: bool) {
        self.host.dead.store(dead, Ordering::Relaxed);
    }

    /// Returns the bottles of the kit that the backend lists.
    pub(super) fn active(&self) -> Check<Vec<ActiveBottle>> {
        let owner = Some(&self.bench.options.spec.owner);
        let all = self.opened.list_active(&call())?;
        Ok(all.into_iter().filter(|bottle| bottle.owner.as_ref() == owner).collect())
    }

    /// Asks for a clean-up, and returns of it only what is the kit's own.
    pub(super) fn cleanup_plan(&self, all: bool) -> Check<CleanupPlan> {
        let mut plan = self.opened.prepare_cleanup(&call(), &CleanupScope::new(all))?;
        let owner = Some(&self.bench.options.spec.owner);
        plan.remove.retain(|item| item.owner.as_ref() == owner);
        plan.keep.retain(|item| item.owner.as_ref() == owner);
        Ok(plan)
    }

    /// Fails unless nothing of the kit's is there.
    pub(super) fn check_nothing_left(&self, after: &str) -> Check {
        let active: Vec<_> = self.active()?.into_iter().map(|bottle| bottle.name).collect();
        ensure!(active.is_empty(), "after {after} it still lists {}", active.join(", "));
        let left: Vec<_> =
            self.cleanup_plan(true)?.remove.into_iter().map(|i| format!("{} {}", i.kind, i.name)).collect();
        ensure!(left.is_empty(), "after {after} there is still {}", left.join(", "));
        Ok(())
    }

    /// Sends a document as it is, known to this side's types or not.
    pub(super) fn raw(&self, verb: &str, payload: &Value) -> Result<Value> {
        self.opened.raw(verb, &call(), payload)
    }

    /// Returns everything the backend told its host, as text.
    pub(super) fn told(&self) -> String {
        serde_json::to_string(&*lock(&self.host.records)).unwrap_or_default()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        for bottle in lock(&self.launched).drain(..) {
            drop(self.opened.close(&call(), &bottle));
        }
        // What a broken backend forgot is removed if it at least finds it.
        if let Ok(plan) = self.cleanup_plan(true)
            && !plan.remove.is_empty()
        {
            drop(self.opened.cleanup(&call(), &plan));
        }
    }
}
