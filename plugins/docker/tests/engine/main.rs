//! The backend on a real engine, driven through the contract's trait.
//!
//! Without an engine that answers these tests fail. They need the egress guard's program, which they build, and a base
//! image: `CLAUDE_BOTTLE_BASE_IMAGE`, or what `tests/setup/base-image.sh` prints.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod decisions;
mod export;
mod gvisor;
mod host_guard;
mod images;
mod isolation;
mod kernel;
mod lifecycle;
mod provisioning;
mod secrets;
mod session;
mod support;
