//! The backend, for real: bottles are made by `bwrap`, run programs and are tried from inside.
//!
//! Everything runs twice: as whoever runs the tests and, when that is root, once more as an ordinary user.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod basics;
mod caller;
mod conformance;
mod egress;
mod export;
mod files;
mod full;
mod grants;
mod installs;
mod kernel;
mod kills;
mod layouts;
mod lifecycle;
mod programs;
mod secrets;
mod sockets;
mod support;
mod terminal;
mod tools;
mod twice;
