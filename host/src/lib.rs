//! The claude-bottle host: it resolves the manifest, asks the user, and drives a backend plug-in.
//!
//! Whatever is not peculiar to one backend is here: manifest, environment, egress policy, all printing and all
//! questions. What is not here: anything that knows an engine. A backend is a plug-in, loaded at run time.

pub mod backend;
pub mod error;
pub mod interrupt;
pub mod invocation;
pub mod owner;
pub mod progress;
pub mod runs;
pub mod services;
pub mod terminal;
pub mod ui;

use std::process::ExitCode;

/// Runs the program.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
