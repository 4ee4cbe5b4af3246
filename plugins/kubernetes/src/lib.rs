//! The Kubernetes backend: a bottle is a Pod of two containers, of which the agent's has no network though the Pod has one.
//!
//! It needs no privilege, no controller and nothing of the cluster's network: the wall is inside the Pod, made by our own process 1 and
//! proved at each launch (`proof`). Everything of the user's travels over the stream of an exec (`door`), so that a Pod's
//! specification, the cluster's database and its audit log hold nothing of it.
//!
//! Inside: `backend` is a table of contents. `cluster` alone knows how a cluster is reached, `pod` what is made there.
//!
//! Invariant: what a cluster makes of a Pod is compared with what was asked for, and a difference that is not known to be harmless
//! refuses the bottle.

#![forbid(unsafe_code)]

mod backend;
mod cleanup;
mod close;
mod cluster;
mod config;
mod door;
mod error;
mod exec;
mod export;
mod known;
mod launch;
mod list;
mod log;
mod plan;
mod pod;
mod probe;
mod proof;
mod provision;
mod reason;
mod resolve;
mod rights;
mod send;
mod ssh;
mod wall;

#[doc(hidden)]
pub use backend::Kubernetes;

claude_bottle_plugin_api::export_backend!(Kubernetes, name = "kubernetes");
