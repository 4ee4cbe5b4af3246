//! A Pod without a cluster: two containers of the engine that share a volume and a network, as a Pod's do, and the host's side of
//! the protocol that enters by the one constant command.

#![cfg(test)]

mod door;
mod files;
mod lifeline;
mod programs;
mod resume;
mod support;
mod wall;

#[path = "../support/probes.rs"]
mod probes;
