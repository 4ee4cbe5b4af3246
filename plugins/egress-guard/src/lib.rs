//! The egress guard: the small proxy that is a bottle's only way out.
//!
//! `egress-guard run` reads one configuration, listens on one socket, and decides every request by the policy crate.
//! This is a library so that tests and fuzz targets reach its parsers; nothing else is meant to depend on it.
//!
//! Invariant: nothing a client sends can change what is allowed. There is no endpoint, only the proxy.

#![forbid(unsafe_code)]

pub mod cli;
pub mod dlp;
pub mod held;
pub mod http;
pub mod log;
pub mod net;
pub mod serve;
pub mod tls;

mod clock;
mod error;

pub use error::GuardError;
