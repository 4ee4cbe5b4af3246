//! The end-to-end tests: the built program, a real engine, the real Claude Code CLI, a stand-in for its API.
//!
//! `make test` makes the engine, the base image and the static guard exist first. Without them these tests fail; they
//! never skip. Each test uses an agent name of its own, so that they run side by side and see only their own bottles.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

mod agents;
mod browsers;
mod caller;
mod egress;
mod engine;
mod examples;
mod failure;
mod first_run;
mod forward;
mod headless;
mod images;
mod installed;
mod intercept;
mod kubernetes;
mod names;
mod own_files;
mod pipes;
mod podman;
mod programs;
mod project_tools;
mod refused_credential;
mod remote;
mod results;
mod resume;
mod runsc;
mod screens;
mod sessions;
mod ssh;
mod suspend;
mod terminal;
mod values;
mod verify;
mod workspaces;
