//! Plug-in files, good and bad, in front of the host: found, judged, loaded, and called.
//!
//! Every case uses a real file: a copy of the fake backend that was damaged on purpose, a small C library, or a plug-in
//! built from `fixtures/`. Needs `cargo` and `cc`, which building the project needs as well.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

mod abuse;
mod errors;
mod loading;
mod pins;
mod scaffold;
mod search;
mod skew;
mod trust;
