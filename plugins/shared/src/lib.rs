//! What the in-tree backends share: labels, the agent's command line, shell quoting, and copying host trees.
//!
//! Third parties may use it; nothing here talks to an engine, prints, or holds policy.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod command;
mod labels;
mod onboarding;
mod progress;
mod shell;
pub mod tree;
pub mod workspace;

pub use command::agent_command;
pub use labels::{Labels, key};
pub use onboarding::onboarding;
pub use progress::Meter;
pub use shell::{env_file, quote};
