//! The Podman backend: a bottle is one container without a network, as root or as an ordinary user.
//!
//! Its files lie in a directory of the host, as on the bubblewrap backend, and its guard is a process of the host in a sandbox of
//! `bwrap`. The guest program is process 1, and starts programs on request over a socket that has no name inside; Podman is asked
//! to make and remove the container, and for images. What protects and what does not is in `docs/podman.md`.
//!
//! Inside: `backend` is a table of contents. `engine` alone talks to Podman.
//!
//! Invariant: nothing is degraded in silence. What cannot be enforced here is in the plan's limitations, and a
//! missing protection is an error.

#![forbid(unsafe_code)]

mod backend;
mod cleanup;
mod close;
mod config;
mod container;
mod engine;
mod error;
mod image;
mod launch;
mod limits;
mod plan;
mod probe;
mod resolve;

#[doc(hidden)]
pub use backend::Podman;

claude_bottle_plugin_api::export_backend!(Podman, name = "podman");
