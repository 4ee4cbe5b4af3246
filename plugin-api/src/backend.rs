//! The trait a plug-in author implements: one method a verb.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ActiveBottle, Bottle, Call, Capability, CleanupPlan, CleanupReport, CleanupScope, ExecRequest,
    ExitStatus, Failure, Plan, Probe, Provisioned, Result, Spec,
};

/// What a backend is opened with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// The host's version, for messages.
    #[serde(default)]
    pub host_version: String,
    /// The `CLAUDE_BOTTLE_*` variables of the user, by name without that prefix (`BASE_IMAGE`). Never a secret.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// A directory of this backend's own, kept between runs; made on first use by the backend.
    #[serde(default)]
    pub data_dir: PathBuf,
}

impl Context {
    /// Returns a setting that is set and not empty.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A backend: it makes bottles, runs agents in them, and removes them.
///
/// Every method may block; the host calls it on a thread of its own. A method that may take long looks at
/// [`Call::cancelled`]. A backend prints nothing, installs no signal handler, and changes nothing process-wide
/// (working directory, umask, environment): it reports through [`Call`] and through `tracing`.
pub trait Backend: Send + Sync + Sized + 'static {
    /// What this backend can do; the host and the conformance kit ask no more of it than that.
    const CAPABILITIES: &'static [Capability] = &[];

    /// The features of later contract versions this backend understands, see [`Spec::requires`].
    const FEATURES: &'static [&'static str] = &[];

    /// Opens the backend, without side effects and without reaching the engine.
    ///
    /// # Errors
    /// Fails when a setting makes no sense.
    fn open(context: Context) -> Result<Self>;

    /// Says whether bottles can be made here and now and, if not, why and what mends it.
    ///
    /// # Errors
    /// Fails only when that cannot be found out; "not usable" is an answer, not an error.
    fn probe(&self, call: &Call) -> Result<Probe>;

    /// Resolves names and validates; may write to [`Spec::stage_dir`], and makes nothing else.
    ///
    /// # Errors
    /// Fails on all that would make a launch pointless, before the user is asked.
    fn prepare(&self, call: &Call, spec: &Spec) -> Result<Plan>;

    /// Makes the bottle, up to "ready to be provisioned".
    ///
    /// # Errors
    /// On failure everything it made is undone, in reverse, and what could not be undone is in [`Failure::undo`].
    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle>;

    /// Puts prompt, skills, ssh and git into the bottle, in this order, each gating itself.
    ///
    /// # Errors
    /// Fails when something granted could not be put in; the host then closes the bottle.
    fn provision(&self, call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned>;

    /// Runs a program in the bottle and waits for its end.
    ///
    /// # Errors
    /// Fails when the program could not be started or its end could not be learnt; its own exit code is no failure.
    fn exec(&self, call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus>;

    /// Removes the bottle. Idempotent, also from another process that has only the [`Bottle`] document.
    ///
    /// # Errors
    /// Goes on after a failure, and reports all of them.
    fn close(&self, call: &Call, bottle: &Bottle) -> Result<()>;

    /// Finds what dead runs left over, and changes nothing.
    ///
    /// # Errors
    /// Fails when the engine cannot be asked.
    fn prepare_cleanup(&self, call: &Call, scope: &CleanupScope) -> Result<CleanupPlan>;

    /// Removes what the plan names; what is already gone counts as removed.
    ///
    /// # Errors
    /// Fails only when nothing could be tried; failures of single items are in the report.
    fn cleanup(&self, call: &Call, plan: &CleanupPlan) -> Result<CleanupReport>;

    /// Lists the bottles of this backend that exist now.
    ///
    /// # Errors
    /// Fails when the engine cannot be asked.
    fn list_active(&self, call: &Call) -> Result<Vec<ActiveBottle>>;

    /// Answers an operation that came with a later minor version of the contract.
    ///
    /// # Errors
    /// [`crate::FailureKind::Unsupported`] for an operation it does not know.
    fn operation(&self, _call: &Call, operation: &str, _payload: Value) -> Result<Value> {
        Err(Failure::unsupported(operation))
    }
}
