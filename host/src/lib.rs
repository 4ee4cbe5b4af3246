//! The claude-bottle host: it resolves the manifest, asks the user, and drives a backend plug-in.
//!
//! Whatever is not peculiar to one backend is here: manifest, environment, egress policy, all printing and all
//! questions. What is not here: anything that knows an engine. A backend is a plug-in, loaded at run time.

pub mod backend;
mod cli;
pub mod egress;
pub mod env;
pub mod error;
pub mod interrupt;
pub mod invocation;
pub mod manifest;
pub mod options;
mod output;
pub mod owner;
pub mod plan_view;
pub mod plugins;
pub mod progress;
pub mod reaper;
pub mod runs;
pub mod secrets;
pub mod services;
pub mod session;
pub mod spec;
pub mod streams;
pub mod terminal;
pub mod trust;
pub mod ui;

pub use cli::{definition, run};
