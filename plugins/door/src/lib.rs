//! The door of a bottle: a Unix socket of the host whose other end is the bottle's process 1, which starts programs for whoever asks.
//!
//! It is in the bottle's directory on the host, which is closed to other users, and has no name inside. Process 1 inherits it
//! ([`make`]), or is handed it where an engine starts that process ([`Handover`]). What is said through it is
//! [`bottle_guest::protocol`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod attach;
mod control;
mod error;
mod exec;
mod handover;

pub use control::{answer, exists, make, send_request};
pub use error::DoorError;
pub use exec::{Ended, Inside, exec};
pub use handover::{DIR, Handover, SOCKET};
