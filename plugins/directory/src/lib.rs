//! What backends share whose bottles are directories of the host: the record, what is put in and taken out, the door and what is
//! started through it, and how all of it ends.
//!
//! A sandbox of `bwrap` and a container without a network both have their files there. The kit stands below this crate and knows no
//! guest program; how a bottle is walled in is the backend's.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cleanup;
pub mod close;
mod copy;
pub mod environment;
mod error;
mod exec;
mod export;
mod home;
pub mod inside;
pub mod layout;
mod oom;
mod provision;
mod record;
mod resolve;

pub use cleanup::{apply, list, place, plan};
pub use error::DirectoryError;
pub use exec::exec;
pub use export::export;
pub use home::Home;
pub use provision::{Guest, copy_workspace};
pub use record::Record;
pub use resolve::{Host, Resolved, resolve};

/// All bottles of one backend.
pub type Store = claude_bottle_kit::rundir::Store<Record>;
/// One bottle's directory.
pub type RunDir = claude_bottle_kit::rundir::RunDir<Record>;
/// What is in the directory of bottles.
pub type Found = claude_bottle_kit::rundir::Found<Record>;
