//! The Docker backend: bottles as containers of an engine that speaks Docker's API.
//!
//! A bottle is two networks, a sidecar and the agent's container. The agent's network is internal and has one
//! neighbour, the sidecar, which is the only way out; see `launch` for the order in which they are made. What this crate is
//! not: it knows no manifest and no policy, prints nothing, asks nothing, and runs no program on the host.

#![forbid(unsafe_code)]

mod active;
mod advisories;
mod backend;
mod cleanup;
mod close;
mod config;
mod engine;
mod engine_id;
mod error;
mod exec;
mod export;
mod fault;
mod guard_place;
mod guest;
mod hardening;
mod image;
mod keep;
mod launch;
mod limits;
mod link;
mod names;
mod network;
mod options;
mod plan;
mod probe;
mod protection;
mod provision;
mod pruned;
mod reload;
mod resolve;
mod sidecar;
#[cfg(test)]
mod test_host;
mod volumes;

pub use backend::Docker;

claude_bottle_plugin_api::export_backend!(Docker, name = "docker");
