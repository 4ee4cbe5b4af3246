//! The command line on the fake backend: each command, each way it fails, as text and as JSON.
//!
//! Hermetic: the program and the one plug-in are linked into a tree of their own, each test has its own home, and the
//! environment is empty but for what a test sets. What differs from run to run (paths, ids, ages) is filtered.
//! After an intended change: `INSTA_UPDATE=new INSTA_FORCE_PASS=1 cargo test -p claude-bottle --test cli`, then
//! `cargo insta review --workspace-root .`.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

mod at_once;
mod broken;
mod canary;
mod capabilities;
mod cleanup;
mod conflicts;
mod defaults;
mod docs;
mod doctor;
mod edit;
mod faults;
mod folding;
mod forward;
mod held;
mod help;
mod init;
mod interrupts;
mod keep;
mod lists;
mod logs;
mod logs_verify;
mod mistakes;
mod names;
mod no_room;
mod options;
mod output;
mod plugin;
mod policies;
mod presets;
mod profiles;
mod projects;
mod readme;
mod results;
mod resume;
mod review;
mod running;
mod saved_rules;
mod sessions;
mod settings;
mod shells;
mod start;
mod token;
mod trust;
mod unasked;
mod watch;
mod watcher;
mod workspace;
