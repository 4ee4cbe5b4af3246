//! What the host serves a plug-in while it runs: its log, progress, cancellation, secrets, and who is alive.

use std::os::fd::RawFd;
use std::sync::Arc;

use claude_bottle_egress_policy::GuardSecrets;
use claude_bottle_plugin_api::abi::host::{CallHost, HostServices};
use claude_bottle_plugin_api::{
    Event, Failure, FailureKind, LogLevel, LogRecord, Owner, Result, SUSPEND, Secret,
};
use serde_json::Value;

use crate::run::owner;
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;
use crate::ui::suspend;

/// Writes a plug-in's records to the host's `tracing`, under the plug-in's name.
pub struct PluginLog {
    /// The backend's name.
    pub backend: String,
    /// A process that is known to be dead although the system may still be taking it down.
    pub dead: Option<Owner>,
}

/// Repeats a macro call with a level that is a constant, as `tracing` needs.
macro_rules! at_level {
    ($level:expr, $level_name:ident, $body:expr) => {
        match $level {
            LogLevel::Error => {
                const $level_name: tracing::Level = tracing::Level::ERROR;
                $body
            }
            LogLevel::Warn => {
                const $level_name: tracing::Level = tracing::Level::WARN;
                $body
            }
            LogLevel::Info => {
                const $level_name: tracing::Level = tracing::Level::INFO;
                $body
            }
            LogLevel::Debug => {
                const $level_name: tracing::Level = tracing::Level::DEBUG;
                $body
            }
            LogLevel::Trace => {
                const $level_name: tracing::Level = tracing::Level::TRACE;
                $body
            }
        }
    };
}

impl HostServices for PluginLog {
    fn enabled(&self, level: LogLevel) -> bool {
        at_level!(level, LEVEL, tracing::enabled!(target: "plugin", LEVEL))
    }

    fn log(&self, record: LogRecord) {
        let backend = self.backend.as_str();
        let place = record.spans.join(":");
        let fields: Vec<_> = record.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let fields = fields.join(" ");
        let micros = record.span_micros;
        at_level!(
            record.level,
            LEVEL,
            tracing::event!(
                target: "plugin",
                LEVEL,
                backend,
                module = record.target,
                span = place,
                micros,
                fields,
                "{}",
                record.message
            )
        );
    }

    fn owner_alive(&self, owner: &Owner) -> Result<bool> {
        if self.dead.as_ref().is_some_and(|dead| dead.is_same(owner)) {
            return Ok(false);
        }
        owner::is_alive(owner).map_err(|reason| Failure::new(FailureKind::NotFound, reason))
    }
}

/// Where the secrets of a run come from.
pub trait Secrets: Send + Sync {
    /// Returns a secret by its name.
    fn get(&self, name: &str) -> Option<Secret>;

    /// Returns all of them, to look for them in what comes out of the bottle; `None` if this process has no values of the run.
    fn all(&self) -> Option<GuardSecrets> {
        None
    }
}

/// A run that was granted none, or a verb that needs none.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn get(&self, _name: &str) -> Option<Secret> {
        None
    }
}

/// The host, for one call.
pub struct CallServices {
    /// Asks the call to end.
    pub interrupt: Arc<Interrupt>,
    /// Shows progress.
    pub progress: Arc<Progress>,
    /// Gives secrets.
    pub secrets: Arc<dyn Secrets>,
}

impl CallHost for CallServices {
    fn event(&self, event: Event) {
        self.progress.event(&event);
    }

    fn cancelled(&self) -> bool {
        self.interrupt.triggered()
    }

    fn cancel_fd(&self) -> RawFd {
        self.interrupt.descriptor()
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        self.secrets.get(name).ok_or_else(|| {
            Failure::new(FailureKind::NotFound, format!("secret `{name}` is not granted to this run"))
        })
    }

    fn service(&self, name: &str, _payload: &Value) -> Result<Value> {
        match name {
            SUSPEND => suspend::suspend(&self.interrupt).map(|()| Value::Null),
            _ => Err(Failure::no_service(name)),
        }
    }
}
