//! The host's side: a checked module, an opened backend, and the call-backs a plug-in makes.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RResult, RStr, RString, RVec};
use serde_json::Value;

use super::module::{HostTable, HostTableRef};
use super::services::failure_to;
use super::size::{self, MAX_EVENT};
use super::wire::{CALL, OWNER_ALIVE};
use crate::{ErrorExt, Event, Failure, FailureKind, LogLevel, LogRecord, Owner, Result, Secret};

pub use super::check::{Module, ModuleError, RawHeader};
pub use super::opened::Opened;

/// What the host offers an opened backend.
pub trait HostServices: Send + Sync {
    /// Returns whether records of this level are wanted.
    fn enabled(&self, level: LogLevel) -> bool;
    /// Takes a log record.
    fn log(&self, record: LogRecord);
    /// Returns whether the process that owns a bottle still runs.
    ///
    /// # Errors
    /// Fails when that cannot be found out.
    fn owner_alive(&self, owner: &Owner) -> Result<bool>;
}

/// What the host offers one call of a verb.
pub trait CallHost: Send + Sync {
    /// Takes progress.
    fn event(&self, event: Event);
    /// Returns whether the call should end.
    fn cancelled(&self) -> bool;
    /// Returns a descriptor that is readable once the call should end, or -1; open as long as this value lives.
    fn cancel_fd(&self) -> RawFd;
    /// Returns a secret of the run.
    ///
    /// # Errors
    /// Fails for a name that is not granted.
    fn secret(&self, name: &str) -> Result<Secret>;
    /// Answers a service about this call, by its name.
    ///
    /// # Errors
    /// [`FailureKind::Unsupported`] for one that is not offered.
    fn service(&self, name: &str, payload: &Value) -> Result<Value> {
        let _ = payload;
        Err(Failure::no_service(name))
    }
}

/// Values a plug-in names by number. A number that is no longer known is ignored: a plug-in's thread may log
/// after its call has ended.
pub(super) struct Registry<T: ?Sized> {
    next: AtomicU64,
    values: Mutex<HashMap<u64, Arc<T>>>,
}

impl<T: ?Sized> Registry<T> {
    fn new() -> Self {
        Self { next: AtomicU64::new(1), values: Mutex::new(HashMap::new()) }
    }

    pub(super) fn insert(&self, value: Arc<T>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.values.lock().unwrap_or_else(PoisonError::into_inner).insert(id, value);
        id
    }

    pub(super) fn remove(&self, id: u64) {
        let removed = self.values.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        drop(removed);
    }

    fn get(&self, id: u64) -> Option<Arc<T>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

pub(super) static HOSTS: LazyLock<Registry<dyn HostServices>> = LazyLock::new(Registry::new);
pub(super) static CALLS: LazyLock<Registry<dyn CallHost>> = LazyLock::new(Registry::new);

/// Returns the table that is given to every plug-in.
pub(super) fn table() -> HostTableRef {
    static TABLE: LazyLock<HostTableRef> = LazyLock::new(|| {
        HostTable { enabled, log, event, cancelled, cancel_fd, secret, service }.leak_into_prefix()
    });
    *TABLE
}

/// Keeps a panic of the host's own call-backs from crossing into the plug-in, where it would abort the process.
fn guarded<T>(otherwise: T, run: impl FnOnce() -> Option<T>) -> T {
    catch_unwind(AssertUnwindSafe(run)).ok().flatten().unwrap_or(otherwise)
}

extern "C" fn enabled(context: u64, level: u8) -> bool {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    guarded(false, || {
        let level = levels.get(usize::from(level).checked_sub(1)?)?;
        Some(HOSTS.get(context)?.enabled(*level))
    })
}

extern "C" fn log(context: u64, record: RStr<'_>) {
    guarded((), || {
        let record = Some(record.as_str()).filter(|record| record.len() <= MAX_EVENT)?;
        HOSTS.get(context)?.log(serde_json::from_str(record).ok()?);
        Some(())
    });
}

extern "C" fn event(call: u64, event: RStr<'_>) {
    guarded((), || {
        let event = Some(event.as_str()).filter(|event| event.len() <= MAX_EVENT)?;
        CALLS.get(call)?.event(serde_json::from_str(event).ok()?);
        Some(())
    });
}

extern "C" fn cancelled(call: u64) -> bool {
    // A call the host has given up on should end.
    guarded(true, || Some(CALLS.get(call)?.cancelled()))
}

extern "C" fn cancel_fd(call: u64) -> i32 {
    guarded(-1, || Some(CALLS.get(call)?.cancel_fd()))
}

extern "C" fn secret(call: u64, name: RStr<'_>) -> RResult<RVec<u8>, RString> {
    let ended = || Err(Failure::new(FailureKind::Cancelled, "the call has ended"));
    let answer = guarded(ended(), || Some(CALLS.get(call)?.secret(name.as_str())));
    match answer {
        Ok(secret) => RResult::ROk(RVec::from(secret.expose())),
        Err(failure) => RResult::RErr(failure_to(&failure)),
    }
}

extern "C" fn service(context: u64, name: RStr<'_>, payload: RStr<'_>) -> RResult<RString, RString> {
    let gone = || Err(Failure::new(FailureKind::Cancelled, "the backend is closed"));
    let answer = guarded(gone(), || Some(serve(&*HOSTS.get(context)?, name.as_str(), payload.as_str())));
    answer.map(RString::from).map_err(|failure| failure_to(&failure)).into()
}

/// Answers a service by name: the host's growth valve.
fn serve(host: &dyn HostServices, name: &str, payload: &str) -> Result<String> {
    size::check(payload, "what the service is given")?;
    match name {
        OWNER_ALIVE => {
            let owner = serde_json::from_str(payload)
                .map_err(|error| Failure::new(FailureKind::Invalid, "read the owner").caused_by(&error))?;
            Ok(host.owner_alive(&owner)?.to_string())
        }
        _ => serve_call(name, payload),
    }
}

/// Answers a service about a call of a verb, which its payload names.
fn serve_call(name: &str, payload: &str) -> Result<String> {
    let mut payload: Value =
        serde_json::from_str(payload).failure(FailureKind::Invalid, || "cannot read the payload")?;
    let number = payload.as_object_mut().and_then(|fields| fields.remove(CALL)?.as_u64());
    let Some(call) = number.and_then(|number| CALLS.get(number)) else {
        return Err(Failure::no_service(name));
    };
    size::fitting(call.service(name, &payload)?.to_string(), "the answer of the service")
}
