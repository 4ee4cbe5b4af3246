//! What a verb has of its host while it runs: progress, cancellation, secrets, and who is alive.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::Value;

use crate::{Event, EventState, Failure, FailureKind, Owner, Result, Secret};

/// The name of the host's service behind [`Call::suspend`].
pub const SUSPEND: &str = "suspend";

/// The services behind a [`Call`]; the generated glue implements it over the boundary.
pub trait CallServices: Send + Sync {
    /// Tells the host of progress.
    fn event(&self, event: &Event);
    /// Returns whether the call should end.
    fn cancelled(&self) -> bool;
    /// Returns a descriptor that becomes and stays readable when the call should end.
    fn cancel_fd(&self) -> Option<OwnedFd>;
    /// Returns a secret of the spec by its name.
    ///
    /// # Errors
    /// Fails for a name the spec does not grant.
    fn secret(&self, name: &str) -> Result<Secret>;
    /// Returns whether the process that owns a bottle still runs.
    ///
    /// # Errors
    /// Fails when that cannot be found out, and the caller must then take it for alive.
    fn owner_alive(&self, owner: &Owner) -> Result<bool>;
    /// Asks for a service of the host by its name.
    ///
    /// # Errors
    /// [`FailureKind::Unsupported`] when the host does not offer it.
    fn service(&self, name: &str, payload: &Value) -> Result<Value> {
        let _ = payload;
        Err(Failure::no_service(name))
    }
}

/// What is known of the process that owns a bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerState {
    /// It runs.
    Alive,
    /// It has ended, and what it made is left over.
    Dead,
    /// That cannot be known from here, and what it made stays.
    Unclear {
        /// Why not.
        reason: String,
    },
}

/// Writes the reason why a thing is removed or kept.
impl std::fmt::Display for OwnerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alive => f.write_str("its run is alive"),
            Self::Dead => f.write_str("its run is gone"),
            Self::Unclear { reason } => write!(f, "cannot be judged: {reason}"),
        }
    }
}

/// One call of a verb, from the plug-in's side.
#[derive(Clone)]
pub struct Call {
    services: Arc<dyn CallServices>,
}

impl Call {
    /// Wraps services, for the glue and for tests that make their own.
    pub fn new(services: Arc<dyn CallServices>) -> Self {
        Self { services }
    }

    /// Makes a call nobody listens to, without secrets, for a backend's own unit tests.
    pub fn detached() -> Self {
        Self::new(Arc::new(Detached))
    }

    /// Returns whether the call should end: undo and return [`Failure::cancelled`].
    pub fn cancelled(&self) -> bool {
        self.services.cancelled()
    }

    /// Fails when the call should end; put it between steps.
    ///
    /// # Errors
    /// [`FailureKind::Cancelled`].
    pub fn check(&self) -> Result<()> {
        if self.cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
    }

    /// Returns a descriptor that becomes and stays readable when the call should end, to be polled.
    pub fn cancel_fd(&self) -> Option<OwnedFd> {
        self.services.cancel_fd()
    }

    /// Returns a secret of the spec by its name.
    ///
    /// # Errors
    /// [`FailureKind::NotFound`] for a name the spec does not grant.
    pub fn secret(&self, name: &str) -> Result<Secret> {
        self.services.secret(name)
    }

    /// Returns whether the process that owns a bottle still runs; when in doubt it does.
    pub fn owner_alive(&self, owner: &Owner) -> bool {
        self.owner_state(owner) != OwnerState::Dead
    }

    /// Returns what is known of the process that owns a bottle, for the reason that a clean-up shows.
    pub fn owner_state(&self, owner: &Owner) -> OwnerState {
        match self.services.owner_alive(owner) {
            Ok(true) => OwnerState::Alive,
            Ok(false) => OwnerState::Dead,
            Err(failure) => OwnerState::Unclear { reason: failure.to_string() },
        }
    }

    /// Asks for a service of the host that came with a later minor version, about this very call.
    ///
    /// `payload` is an object or null.
    ///
    /// # Errors
    /// [`FailureKind::Unsupported`] when the host does not offer it.
    pub fn service(&self, name: &str, payload: &Value) -> Result<Value> {
        self.services.service(name, payload)
    }

    /// Suspends the host as a shell suspends a job, because the program that `exec` shows has stopped, and returns when the host
    /// was continued. The program is to be continued then, and also when the host could not be suspended, for `false`: nobody
    /// else would continue it.
    pub fn suspend(&self) -> bool {
        self.services.service(SUSPEND, &Value::Null).is_ok()
    }

    /// Sends a progress event as it is.
    pub fn event(&self, event: &Event) {
        self.services.event(event);
    }

    /// Begins a step of work; it ends, failed, when the value is dropped before [`Step::done`].
    pub fn step(&self, name: &str, message: impl Into<String>) -> Step<'_> {
        self.services.event(&Event::new(name, EventState::Started).message(message));
        Step { call: self, name: name.to_owned(), open: true }
    }
}

/// A step of work in progress.
#[must_use = "a step that is dropped at once is reported as failed"]
pub struct Step<'a> {
    call: &'a Call,
    name: String,
    open: bool,
}

impl Step<'_> {
    /// Says how far it is, in whatever unit `total` counts.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        self.call.services.event(&Event::new(&self.name, EventState::Running).amount(done, total));
    }

    /// Passes a line of output of the work on: of an image build, say.
    pub fn output(&self, line: impl Into<String>) {
        self.call.services.event(&Event::new(&self.name, EventState::Output).message(line));
    }

    /// Ends the step well.
    pub fn done(mut self) {
        self.open = false;
        self.call.services.event(&Event::new(&self.name, EventState::Finished));
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.open {
            self.call.services.event(&Event::new(&self.name, EventState::Failed));
        }
    }
}

/// Services of a call nobody listens to.
struct Detached;

impl CallServices for Detached {
    fn event(&self, _event: &Event) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn cancel_fd(&self) -> Option<OwnedFd> {
        None
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        Err(Failure::new(FailureKind::NotFound, format!("secret `{name}` is not granted")))
    }

    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(true)
    }
}
