//! A host that records what a plug-in asks of it.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use claude_bottle_plugin_api::abi::host::{CallHost, HostServices, Opened};
use claude_bottle_plugin_api::{
    AgentSpec, Context, Event, Failure, FailureKind, LogLevel, LogRecord, Owner, Result, Secret, Spec,
};

use claude_bottle::plugins::Loaded;

/// The host's side of an opened backend.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) records: Mutex<Vec<LogRecord>>,
    pub(crate) dead: AtomicBool,
    /// Wants warnings and errors alone.
    pub(crate) is_deaf: AtomicBool,
}

impl HostServices for Host {
    fn enabled(&self, level: LogLevel) -> bool {
        let most = if self.is_deaf.load(Ordering::Relaxed) { LogLevel::Warn } else { LogLevel::Debug };
        level <= most
    }

    fn log(&self, record: LogRecord) {
        self.records.lock().unwrap().push(record);
    }

    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(!self.dead.load(Ordering::Relaxed))
    }
}

/// The host's side of a call.
#[derive(Default)]
pub(crate) struct Caller {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) cancelled: AtomicBool,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Caller {
    pub(crate) fn with_secret(name: &str, value: &str) -> Self {
        let secrets = [(name.to_owned(), value.as_bytes().to_vec())].into();
        Self { secrets, ..Self::default() }
    }
}

impl CallHost for Caller {
    fn event(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn cancel_fd(&self) -> RawFd {
        -1
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        self.asked.lock().unwrap().push(name.to_owned());
        let value = self.secrets.get(name).cloned();
        value
            .map(Secret::new)
            .ok_or_else(|| Failure::new(FailureKind::NotFound, format!("no secret `{name}`")))
    }
}

/// Makes a call with nothing special about it.
pub(crate) fn call() -> Arc<dyn CallHost> {
    Arc::new(Caller::default())
}

/// Opens a backend with its own data directory and some settings.
pub(crate) fn open(
    loaded: &Loaded,
    host: &Arc<Host>,
    data_dir: &Path,
    settings: &[(&str, &str)],
) -> Result<Opened> {
    let mut context = Context::default();
    context.host_version = "1.2.3".to_owned();
    context.data_dir = data_dir.to_owned();
    context.settings =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    loaded.module.open(Arc::<Host>::clone(host), &context)
}

/// Makes a spec for an agent that says hello.
pub(crate) fn spec(id: &str) -> Spec {
    let agent = AgentSpec::new("hello", vec!["echo".to_owned(), "hello".to_owned()]);
    Spec::new(id, agent, Owner::new("here", std::process::id(), 1))
}
