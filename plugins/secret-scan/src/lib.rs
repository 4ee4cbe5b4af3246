//! Finds credentials in text, for the guard of a bottle's egress and for what comes out of a bottle as files.
//!
//! Two kinds are looked for. Known secrets are found raw, encoded, re-encoded and hidden behind look-alike characters. The rule
//! set finds what has the form of a well-known credential. What is looked at, and what a finding means, is the caller's.
//!
//! Invariant: what is found is told by the name of the secret or the rule, and never by a byte of it.

#![forbid(unsafe_code)]

pub mod also;
pub mod decode;
mod ends;
mod keywords;
pub mod normalise;
pub mod parts;
pub mod rules;
mod runs;
pub mod secrets;
pub mod vendors;
pub mod views;
mod words;

#[cfg(any(test, feature = "sample"))]
#[expect(clippy::unwrap_used, reason = "tests alone use it, and fail by panicking")]
pub mod sample;

/// The rule set, or the forms of the secrets, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("credential rules: {reason}")]
pub struct ScanError {
    /// What is wrong.
    pub reason: String,
}
