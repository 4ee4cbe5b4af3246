//! Copying a host directory into a bottle's directory.

use std::path::Path;

use claude_bottle_kit::paths::full_disk_hint;
use claude_bottle_kit::tree::{self, Options, Record, TreeError};
use claude_bottle_plugin_api::{Call, Failure, Result};

/// Copies what is in `source` to `target`, and reports what was copied and how many bytes are done.
pub(crate) fn copy(
    call: &Call,
    source: &Path,
    target: &Path,
    options: &Options,
    record: Option<Record<'_>>,
    mut done: impl FnMut(u64),
) -> Result<()> {
    let mut go_on = |bytes| {
        done(bytes);
        !call.cancelled()
    };
    tree::copy(source, target, options, record, &mut go_on).map(drop).map_err(|error| {
        let hint = match &error {
            TreeError::Write { source, .. } => full_disk_hint(source, target),
            _ => None,
        };
        hint.into_iter().fold(Failure::from(error), Failure::hint)
    })
}
