//! The documents that cross the boundary, as JSON.
//!
//! Rules of growth within contract 1.x: a reader tolerates unknown fields; a new field is optional and has a
//! default; an enum has an `Unknown` arm; sizes and durations are plain numbers with the unit in the name. A new
//! field whose being ignored would be unsafe is also named in [`Spec::requires`], and a plug-in that does not
//! know the feature refuses.

mod agent;
mod bottle;
mod cleanup;
mod connect;
mod describe;
mod egress;
mod event;
mod exec;
mod export;
mod plan;
mod profile;
mod reload;
mod restore;
mod spec;

pub use agent::{AgentFile, AgentSpec, SkillSpec};
pub use bottle::{ActiveBottle, Bottle, BottleState, Owner, Provisioned};
pub use cleanup::{CleanupItem, CleanupPlan, CleanupReport, CleanupScope};
pub use connect::{ConnectRequest, Connected};
pub use describe::{Capability, Description, Health, Probe};
pub use egress::{EgressSpec, ForwardSpec, Proxy, SecretSpec};
pub use event::{Event, EventState, LogLevel, LogRecord};
pub use exec::{ExecIo, ExecRequest, ExecRole, ExitStatus};
pub use export::{EntryKind, EntryPath, ExportRequest, ExportWhat, Exported, IndexEntry};
pub use plan::{Fact, Plan};
pub use profile::{AgentProfile, FileFormat, HomeFile, OwnSettings};
pub use reload::{ReloadRequest, Reloaded};
pub use restore::Restore;
pub use spec::{BottleSpec, EnvValue, EnvVar, GitIdentity, Limits, Spec, SshEntry, ToolSpec, Workspace};
