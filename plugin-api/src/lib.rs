//! The contract between the claude-bottle host and its backend plug-ins.
//!
//! A plug-in author implements [`Backend`] for one type and names it in [`export_backend!`]; everything that
//! crosses the library boundary is generated. The documents ([`Spec`], [`Plan`], [`Bottle`] …) cross as JSON:
//! unknown fields are tolerated, new fields have defaults, nothing is ever renamed or given another meaning
//! within contract 1.x. What this crate is not: it does no I/O of its own, holds no policy and prints nothing.
//!
//! ```
//! use claude_bottle_plugin_api::*;
//!
//! struct Nowhere;
//!
//! impl Backend for Nowhere {
//!     fn open(_context: Context) -> Result<Self> {
//!         Ok(Self)
//!     }
//!     fn probe(&self, _call: &Call) -> Result<Probe> {
//!         Ok(Probe::unusable("there is nowhere to run", "apt-get install somewhere"))
//!     }
//!     fn prepare(&self, _call: &Call, spec: &Spec) -> Result<Plan> {
//!         Plan::new(format!("nowhere-{}", spec.agent.name), &())
//!     }
//!     fn launch(&self, _call: &Call, plan: &Plan) -> Result<Bottle> {
//!         Bottle::new(plan.name.clone(), &())
//!     }
//!     fn provision(&self, _call: &Call, _plan: &Plan, _bottle: &Bottle) -> Result<Provisioned> {
//!         Ok(Provisioned::default())
//!     }
//!     fn exec(&self, _call: &Call, _bottle: &Bottle, _request: &ExecRequest) -> Result<ExitStatus> {
//!         Ok(ExitStatus::code(0))
//!     }
//!     fn close(&self, _call: &Call, _bottle: &Bottle) -> Result<()> {
//!         Ok(())
//!     }
//!     fn prepare_cleanup(&self, _call: &Call, _scope: &CleanupScope) -> Result<CleanupPlan> {
//!         Ok(CleanupPlan::default())
//!     }
//!     fn cleanup(&self, _call: &Call, _plan: &CleanupPlan) -> Result<CleanupReport> {
//!         Ok(CleanupReport::default())
//!     }
//!     fn list_active(&self, _call: &Call) -> Result<Vec<ActiveBottle>> {
//!         Ok(Vec::new())
//!     }
//! }
//!
//! export_backend!(Nowhere, name = "nowhere");
//! ```

#![warn(missing_docs)]

#[doc(hidden)]
pub mod abi;
mod backend;
mod call;
mod failure;
#[cfg(feature = "kit")]
pub mod kit;
mod secret;
mod types;
mod version;

pub use abi::{MAX_EVENT, MAX_PAYLOAD};
pub use backend::{Backend, Context};
pub use call::{Call, CallServices, OwnerState, SUSPEND, Step};
pub use failure::{ErrorExt, Failure, FailureKind, Result, Subject};
pub use secret::Secret;
pub use types::*;
pub use version::{CONTRACT, ContractVersion, ContractVersionError};
