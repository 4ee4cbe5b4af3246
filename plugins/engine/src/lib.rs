//! How a backend reaches an engine: over a socket of this machine, a socket of another machine by the user's own `ssh`, or TCP, in
//! clear or by TLS. What is sent there is a request in HTTP, and a request that fails says why in the same words on every way.
//!
//! The crate knows no engine's API. Which engine is meant, what it is asked for and what a user may do about a failure is the
//! backend's.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod abandoned;
mod address;
mod ask;
mod cancel;
mod dial;
mod error;
mod fd_reader;
mod progress;
mod ssh;
mod tls;

pub use abandoned::Abandoned;
pub use address::{Address, TlsAddress};
pub use ask::{Answer, Ask, Body, encoded, read_all, refusal};
pub use cancel::{cancelled, unless_cancelled};
pub use dial::{Dialer, Stream, exchange};
pub use error::EngineError;
pub use fd_reader::{Reader, spawn};
pub use progress::follow;
pub use ssh::SshHost;

type Result<T, E = EngineError> = std::result::Result<T, E>;
