//! Copying a host directory into a bottle's directory, and removing what an agent left.

mod remove;

use std::path::Path;

use claude_bottle_backend_shared::tree::{self, Links, Options, Rules};
use claude_bottle_plugin_api::{Call, Failure, Result};

pub(crate) use remove::remove;

/// Returns how a tree is copied of which everything is taken.
pub(crate) fn options(owner: Option<u32>, links: Links) -> Options {
    let owner = owner.map(|id| (id, id));
    // Holes stay holes, so no file is larger here than it was there.
    Options { owner, links, exclude: Default::default(), rules: Rules::All, max_bytes: u64::MAX }
}

/// Copies what is in `source` to `target`, and tells how many bytes are done.
pub(crate) fn copy(
    call: &Call,
    source: &Path,
    target: &Path,
    options: &Options,
    mut done: impl FnMut(u64),
) -> Result<()> {
    let mut go_on = |bytes| {
        done(bytes);
        !call.cancelled()
    };
    tree::copy(source, target, options, &mut go_on).map(drop).map_err(Failure::from)
}
