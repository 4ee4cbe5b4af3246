//! pipelock, for those who run it in the guard's place: its configuration, and its log.
//!
//! What is written and read here follows its release 2.3.0: <https://github.com/luckyPipewrench/pipelock/tree/v2.3.0>.

pub(super) mod config;
pub(super) mod log;
