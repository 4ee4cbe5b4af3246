//! An opened backend, from the host's side: one method a verb.

use std::borrow::Cow;
use std::sync::Arc;

use abi_stable::std_types::{RResult, RStr, RString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host::{CALLS, CallHost, HOSTS};
use super::module::ModuleRef;
use super::{operations, services, size, wire};
use crate::{
    ActiveBottle, Bottle, CleanupPlan, CleanupReport, CleanupScope, ConnectRequest, Connected, ErrorExt,
    ExecRequest, ExitStatus, ExportRequest, Exported, FailureKind, Plan, Probe, Provisioned, ReloadRequest,
    Reloaded, Result, Spec,
};

/// A backend that is open; dropping it closes it. The library stays mapped for good.
///
/// Every method blocks until the plug-in answers. Its errors are the backend's own, see [`crate::Backend`].
pub struct Opened {
    pub(super) module: ModuleRef,
    pub(super) handle: u64,
    pub(super) context: u64,
}

type Verb = extern "C" fn(u64, u64, RStr<'_>) -> RResult<RString, RString>;
type CallRef<'a> = &'a Arc<dyn CallHost>;

impl Opened {
    /// Runs a verb whose function is `verb`.
    fn run<O: DeserializeOwned>(&self, verb: Verb, call: CallRef<'_>, input: &impl Serialize) -> Result<O> {
        self.with_call(call, input, |call, payload| verb(self.handle, call, payload))
    }

    fn with_call<O: DeserializeOwned>(
        &self,
        call: CallRef<'_>,
        input: &impl Serialize,
        run: impl FnOnce(u64, RStr<'_>) -> RResult<RString, RString>,
    ) -> Result<O> {
        let payload = serde_json::to_string(input)
            .failure(FailureKind::Internal, || "cannot write what the verb is given")?;
        size::check(&payload, "what the verb is given")?;
        let id = CALLS.insert(Arc::clone(call));
        let result = run(id, payload.as_str().into());
        CALLS.remove(id);
        services::answer(result)
    }

    /// `probe`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn probe(&self, call: CallRef<'_>) -> Result<Probe> {
        self.run(self.module.probe(), call, &())
    }

    /// `prepare`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn prepare(&self, call: CallRef<'_>, spec: &Spec) -> Result<Plan> {
        self.run(self.module.prepare(), call, spec)
    }

    /// `launch`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn launch(&self, call: CallRef<'_>, spec: &Spec, plan: &Plan) -> Result<Bottle> {
        self.run(self.module.launch(), call, &plan.clone().with_spec(spec))
    }

    /// `provision`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn provision(
        &self,
        call: CallRef<'_>,
        spec: &Spec,
        plan: &Plan,
        bottle: &Bottle,
    ) -> Result<Provisioned> {
        let plan = Cow::Owned(plan.clone().with_spec(spec));
        let input = wire::Provision { plan, bottle: Cow::Borrowed(bottle) };
        self.run(self.module.provision(), call, &input)
    }

    /// `exec`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn exec(&self, call: CallRef<'_>, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
        let input = wire::Exec { bottle: Cow::Borrowed(bottle), request: Cow::Borrowed(request) };
        self.run(self.module.exec(), call, &input)
    }

    /// `close`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn close(&self, call: CallRef<'_>, bottle: &Bottle) -> Result<()> {
        self.run(self.module.close(), call, bottle)
    }

    /// `prepare_cleanup`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn prepare_cleanup(&self, call: CallRef<'_>, scope: &CleanupScope) -> Result<CleanupPlan> {
        self.run(self.module.prepare_cleanup(), call, scope)
    }

    /// `cleanup`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn cleanup(&self, call: CallRef<'_>, plan: &CleanupPlan) -> Result<CleanupReport> {
        self.run(self.module.cleanup(), call, plan)
    }

    /// `list_active`.
    ///
    /// # Errors
    /// The backend's own.
    pub fn list_active(&self, call: CallRef<'_>) -> Result<Vec<ActiveBottle>> {
        self.run(self.module.list_active(), call, &())
    }

    /// `halt`, of a backend that declares [`crate::Capability::EXPORT`].
    ///
    /// # Errors
    /// The backend's own; [`FailureKind::Unsupported`] when it does not know the operation.
    pub fn halt(&self, call: CallRef<'_>, bottle: &Bottle) -> Result<()> {
        let input = operations::Halt { bottle: Cow::Borrowed(bottle) };
        self.run_operation(operations::HALT, call, &input)
    }

    /// `export`, of a backend that declares [`crate::Capability::EXPORT`].
    ///
    /// The descriptor in the request is borrowed for the call. Read the other end on another thread, and close it to end the
    /// export. See [`crate::Exported`] for when the archive is whole.
    ///
    /// # Errors
    /// The backend's own; [`FailureKind::Unsupported`] when it does not know the operation.
    pub fn export(&self, call: CallRef<'_>, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
        let input = operations::Export { bottle: Cow::Borrowed(bottle), request: Cow::Borrowed(request) };
        self.run_operation(operations::EXPORT, call, &input)
    }

    /// `keep`, of a backend that declares [`crate::Capability::KEEP`].
    ///
    /// # Errors
    /// The backend's own; [`FailureKind::Unsupported`] when it does not know the operation.
    pub fn keep(&self, call: CallRef<'_>, bottle: &Bottle) -> Result<()> {
        let input = operations::Halt { bottle: Cow::Borrowed(bottle) };
        self.run_operation(operations::KEEP, call, &input)
    }

    /// `connect`, of a backend that declares [`crate::Capability::CONNECT`].
    ///
    /// The descriptor in the request is borrowed for the call, which takes as long as the connection.
    ///
    /// # Errors
    /// The backend's own; [`FailureKind::Unsupported`] when it does not know the operation.
    pub fn connect(&self, call: CallRef<'_>, bottle: &Bottle, request: &ConnectRequest) -> Result<Connected> {
        let input = operations::Connect { bottle: Cow::Borrowed(bottle), request: Cow::Borrowed(request) };
        self.run_operation(operations::CONNECT, call, &input)
    }

    /// `reload`, of a backend that declares [`crate::Capability::RELOAD`].
    ///
    /// # Errors
    /// The backend's own; [`FailureKind::Unsupported`] when it does not know the operation.
    pub fn reload(&self, call: CallRef<'_>, bottle: &Bottle, request: &ReloadRequest) -> Result<Reloaded> {
        let input = operations::Reload { bottle: Cow::Borrowed(bottle), request: Cow::Borrowed(request) };
        self.run_operation(operations::RELOAD, call, &input)
    }

    /// An operation of a later minor version, by name.
    ///
    /// # Errors
    /// [`FailureKind::Unsupported`] when the backend does not know it.
    pub fn operation(&self, call: CallRef<'_>, name: &str, payload: &Value) -> Result<Value> {
        self.run_operation(name, call, payload)
    }

    fn run_operation<O: DeserializeOwned>(
        &self,
        name: &str,
        call: CallRef<'_>,
        input: &impl Serialize,
    ) -> Result<O> {
        let operation = self.module.operation();
        self.with_call(call, input, |call, payload| operation(self.handle, call, name.into(), payload))
    }
}

#[cfg(feature = "kit")]
impl Opened {
    /// Runs a verb on a document as it is, which the types of this side need not know.
    pub(crate) fn raw(&self, verb: &str, call: CallRef<'_>, payload: &Value) -> Result<Value> {
        let function = match verb {
            "prepare" => self.module.prepare(),
            "launch" => self.module.launch(),
            "close" => self.module.close(),
            _ => return Err(crate::Failure::unsupported(verb)),
        };
        self.run(function, call, payload)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.module.destroy()(self.handle);
        HOSTS.remove(self.context);
    }
}
