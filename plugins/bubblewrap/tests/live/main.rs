//! The backend, for real: bottles are made by `bwrap`, run programs and are tried from inside.
//!
//! Everything runs twice: as whoever runs the tests and, when that is root, once more as an ordinary user.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod basics;
mod conformance;
mod egress;
mod files;
mod grants;
mod kernel;
mod lifecycle;
mod secrets;
mod sockets;
mod support;
mod terminal;
mod twice;
