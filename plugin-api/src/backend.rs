//! The trait a plug-in author implements: one method a verb.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ActiveBottle, Bottle, Call, Capability, CleanupPlan, CleanupReport, CleanupScope, ConnectRequest,
    Connected, ContractVersion, ExecRequest, ExitStatus, ExportRequest, Exported, Failure, Plan, Probe,
    Provisioned, ReloadRequest, Reloaded, Result, Spec,
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
    /// The contract that the host speaks; one of 1.0 does not say it. Filled in when a backend is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractVersion>,
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

    /// The settings it reads, see [`Context::setting`]: with them the host finds a misspelt one. `None` says nothing about
    /// them, so that each may be meant for it.
    const SETTINGS: Option<&'static [&'static str]> = None;

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

    /// Makes the bottle, up to "ready to be provisioned". [`Plan::spec`] is the run as `prepare` was given it.
    ///
    /// # Errors
    /// On failure everything it made is undone, in reverse, and what could not be undone is in [`Failure::undo`].
    fn launch(&self, call: &Call, plan: &Plan) -> Result<Bottle>;

    /// Puts prompt, skills, ssh and git into the bottle, in this order, each gating itself. [`Plan::spec`] says what.
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

    /// Ends every program of the bottle and keeps its files, so that [`Self::export`] finds what they wrote. Since 1.1, asked of
    /// a backend that declares [`Capability::EXPORT`] alone.
    ///
    /// When it returns nothing of the bottle runs and nothing changes its files any more; a call of [`Self::exec`] that still
    /// waits returns. No program is started in a halted bottle again. Idempotent, also from another process that has only the
    /// [`Bottle`] document, and at a bottle whose programs ended by themselves or were killed. The files go with [`Self::close`]
    /// alone. The host waits 30 s.
    ///
    /// # Errors
    /// Fails when it cannot be said that everything has ended, and when the bottle is gone
    /// ([`crate::FailureKind::NotFound`]).
    fn halt(&self, _call: &Call, _bottle: &Bottle) -> Result<()> {
        Err(Failure::unsupported("halt"))
    }

    /// Writes files of the bottle as a tar archive to [`ExportRequest::stream`]. Since 1.1, asked of a backend that declares
    /// [`Capability::EXPORT`] alone.
    ///
    /// * The archive is uncompressed (ustar, with GNU long names or PAX headers). Its entries are below one top directory, in any
    ///   order, and it ends with two blocks of zeros, after which the method returns. Owners say nothing and are normalised;
    ///   nothing in it is a path of the host.
    /// * Symbolic links are written as links and never followed, on the way to the top directory neither: what stands in its place
    ///   is a failure that says so. Sockets, FIFOs and devices are left out and counted in [`Exported::skipped`].
    ///   Directories and files without any permission bits are read all the same. A second name of a file may be an entry of kind
    ///   hard link to an entry before it, or a file of its own.
    /// * [`Exported::entries`] is the number of entries, the top directory and extension headers (`L`, `K`, `x`, `g`) not
    ///   counted. The host takes an archive for whole if the method succeeded, the two blocks came and its own count is the same.
    /// * The reader sets the pace: memory does not grow with the files. A reader that closes its end has ended the export: the
    ///   method sees EPIPE, or [`Call::cancelled`], and returns a failure.
    /// * A halted bottle can be exported from any process, as often as wanted, and nothing in it changes by that. Of one that
    ///   runs, it is a moment's view, and a file that changes meanwhile is no failure.
    ///
    /// The host waits 1,800 s.
    ///
    /// # Errors
    /// [`crate::FailureKind::Unsupported`] for a part that it cannot export; otherwise, when not everything could be written.
    fn export(&self, _call: &Call, _bottle: &Bottle, _request: &ExportRequest) -> Result<Exported> {
        Err(Failure::unsupported("export"))
    }

    /// Gives back what the engine has of a halted bottle (containers, networks, control groups), but for the files that
    /// [`Self::export`] reads. Since 1.1, asked of a backend that declares [`Capability::KEEP`] and [`Capability::EXPORT`] alone.
    ///
    /// When it returns, the bottle costs no more than the room on the disk, for days: [`Self::export`] finds the same as before,
    /// from any process, and [`Self::close`] removes it. What is left carries the labels of the run as before, so that
    /// [`Self::prepare_cleanup`] finds it. Idempotent. The host waits 60 s.
    ///
    /// # Errors
    /// Fails if something could not be given back, and goes on with the rest; the files stay in any case. Fails as
    /// [`crate::FailureKind::NotFound`] when the bottle is gone.
    fn keep(&self, _call: &Call, _bottle: &Bottle) -> Result<()> {
        Err(Failure::unsupported("keep"))
    }

    /// Joins [`ConnectRequest::stream`] to a TCP port of the bottle's own loopback, and returns when the connection has ended.
    /// Since 1.1, asked of a backend that declares [`Capability::CONNECT`] alone.
    ///
    /// * Bytes are carried both ways as they come; the reader on either side sets the pace, and memory does not grow with them.
    /// * Each direction ends by itself: the end of what one side sends is the end of what the other side reads (`shutdown`), and
    ///   what comes the other way goes on. The method returns when both have ended.
    /// * A host's side that has left ends the connection inside, and is not a failure. A server's side that breaks off is
    ///   [`Connected::cut`]: the stream's end is not said then, so that the host can break it off as well.
    /// * When it returns, nothing of it holds the descriptor. Calls run at the same time, as many as the host makes.
    /// * Nothing of the host's that could reach a network goes into the bottle: the stream itself stays outside.
    ///
    /// # Errors
    /// [`crate::FailureKind::Unreachable`] when nothing takes the connection there, with the system's reason as a cause; then
    /// nothing was written to the stream, and its end was not said. [`crate::FailureKind::NotFound`] when the bottle does not
    /// run, or has ended meanwhile.
    fn connect(&self, _call: &Call, _bottle: &Bottle, _request: &ConnectRequest) -> Result<Connected> {
        Err(Failure::unsupported("connect"))
    }

    /// Gives the proxy of a bottle that runs another policy. Since 1.1, asked of a backend that declares
    /// [`Capability::RELOAD`] alone.
    ///
    /// * When it returns, every later request is decided by the new policy: also those of clients that are caught by name, and
    ///   on connections that are open. Tunnels that the new policy does not allow end; the others go on.
    /// * All or nothing. A document that the proxy cannot read, a call that is cancelled and a process that is killed in the
    ///   middle leave the old policy whole.
    /// * Whatever else the proxy was configured with stays: its secrets, its limits, its log. The log says what was changed.
    /// * From any process that has only the [`Bottle`] document, and as often as wanted.
    ///
    /// The host waits 30 s.
    ///
    /// # Errors
    /// [`crate::FailureKind::Invalid`] for a document that is not a policy, [`crate::FailureKind::NotFound`] when the bottle is
    /// gone, [`crate::FailureKind::Unsupported`] when this bottle's proxy takes no other policy while it runs.
    fn reload(&self, _call: &Call, _bottle: &Bottle, _request: &ReloadRequest) -> Result<Reloaded> {
        Err(Failure::unsupported("reload"))
    }

    /// Answers an operation that came with a later minor version of the contract and has no method of its own here.
    ///
    /// # Errors
    /// [`crate::FailureKind::Unsupported`] for an operation it does not know.
    fn operation(&self, _call: &Call, operation: &str, _payload: Value) -> Result<Value> {
        Err(Failure::unsupported(operation))
    }
}
