//! Manifests on disk: a corpus of bad ones with their messages, good ones with what they mean, the project's own file
//! and its trust, and every example of the reference. Hermetic: each test has its own home and working directory.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod corpus;
mod docs;
mod fixture;
mod good;
mod hostile;
mod project;
