//! The claude-bottle host: it resolves the manifest, asks the user, and drives a backend plug-in.
//!
//! Whatever is not peculiar to one backend is here: manifest, environment, egress policy, all printing and all
//! questions. What is not here: anything that knows an engine. A backend is a plug-in, loaded at run time.

// Tests of the inside and of the outside share some files.
#[cfg(test)]
extern crate self as claude_bottle;

mod caller;
mod cli;
mod document;
mod duration;
pub mod egress;
pub mod environment;
pub mod error;
pub mod git;
pub mod manifest;
pub mod plugins;
pub mod profile;
pub mod results;
pub mod run;
pub mod trust;
pub mod ui;

pub use cli::{definition, run};
