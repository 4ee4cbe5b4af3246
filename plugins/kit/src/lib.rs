//! What the in-tree backends share: labels, the agent's variables, what the egress guard is handed,
//! what a process says once it is ready, which places of the host are private, copying trees, of the host into
//! a bottle and of a bottle out to the host, and the guard as a sandboxed process of the host.
//!
//! Third parties may use it; nothing here talks to an engine, prints, or holds policy.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod agent_files;
pub mod agent_image;
pub mod bwrap;
mod child;
pub mod cleanup;
pub mod companions;
pub mod connect;
pub mod contents;
pub mod decisions;
mod ended;
mod environment;
pub mod export;
pub mod git;
mod guard;
pub mod home;
pub mod host_files;
pub mod host_guard;
mod labels;
pub mod limits;
pub mod paths;
mod planned;
pub mod poll;
mod printable;
mod private;
mod progress;
mod ready;
pub mod recipe;
pub mod refuse;
pub mod restore;
pub mod rundir;
pub mod skills;
pub mod ssh;
pub mod tree;
pub mod trust;
pub mod workspace;

pub use child::wait;
pub use ended::closed;
pub use environment::{LOCALE, hostname, profile_variables, proxy_variables};
pub use guard::{GUARD_PATIENCE, GuardChange, guard_config, guard_secrets, policy, unanswered};
pub use labels::{Labels, key};
pub use planned::Planned;
pub use printable::printable;
pub use private::why_private;
pub use progress::Meter;
pub use ready::Ready;
