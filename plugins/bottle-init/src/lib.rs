//! What runs inside a bubblewrap bottle beside the agent, and the stage that starts `bwrap` itself.
//!
//! One small program with four faces, so that a bottle needs few processes and none of them is large:
//!
//! - `bottle-init outer PARENT GROUP…` runs on the host: it closes every descriptor that was inherited, joins control
//!   groups, gives root up, builds the system call filter and becomes `bwrap`.
//! - `bottle-init init` is process 1 of the bottle: it reaps, relays `127.0.0.1:PORT` to the guard's socket, and
//!   starts programs on request of the backend ([`protocol`]).
//! - `bottle-init stage` is what a program in the bottle is before it becomes itself: it takes a session, a
//!   terminal and limits.
//! - `bottle-init connect` gives `ssh` a way through the guard.
//!
//! Invariant: nothing here is configured by the agent. The door's socket has no name inside the bottle.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod connect;
mod error;
mod exec;
pub mod init;
pub mod outer;
pub mod protocol;
mod reaper;
mod relay;
pub mod seccomp;
pub mod stage;

pub use error::InitError;
