//! Copying a host directory into a bottle's directory, and removing what an agent left.

mod copy;
mod remove;

pub(crate) use copy::{Links, Options, copy, copy_file};
pub(crate) use remove::remove;
