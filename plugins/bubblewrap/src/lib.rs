//! The bubblewrap backend: a bottle in tens of milliseconds, with nothing but `bwrap`.
//!
//! A bottle is a directory of this backend's own and two processes that die with the host: `egress-guard`, in a
//! sandbox that has the network and nothing else, and `bottle-guest`, process 1 of a sandbox that has everything
//! but the network. Programs are started by process 1 on request over a socket that has no name inside. What
//! protects and what does not is in `docs/bubblewrap.md`.
//!
//! Inside: `backend` is a table of contents and calls `probe`, `resolve` and `launch`; those use `sandbox` and `etc`, which know no
//! caller. How a `bwrap` is started, and the guard in it, is `kit::bwrap` and `kit::host_guard`; what is in a bottle's directory, what is
//! started at its door, and how it ends is the crate `directory`.
//!
//! Invariant: nothing is degraded in silence. What cannot be enforced here is in the plan's limitations, and a
//! missing protection is an error.

#![forbid(unsafe_code)]

mod backend;
mod etc;
mod grants;
mod inherited;
mod launch;
mod limits;
mod low_ports;
mod plan;
mod probe;
mod program;
mod resolve;
mod sandbox;

#[doc(hidden)]
pub use backend::Bubblewrap;

claude_bottle_plugin_api::export_backend!(Bubblewrap, name = "bubblewrap");
