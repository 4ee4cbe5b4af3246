//! The host's git, for two things that it does best: to merge a file, and to keep a commit.

pub mod branch;
pub mod merge;
pub mod run;
