//! export: what the agent left in its directories, read from outside.
//!
//! The bottle's own directory is this program's; what is below it is the agent's, so no link there is followed.

use std::path::Path;

use claude_bottle_kit::export::{self, Places};
use claude_bottle_plugin_api::{Bottle, Call, ExportRequest, Exported, Failure, FailureKind, Result};

use crate::layout::HOME;
use crate::{Store, close};

/// Writes what is asked for to the request's stream.
///
/// # Errors
/// Fails when the bottle is gone, when what is asked for cannot be read, and when the call is cancelled.
pub fn export(call: &Call, bottles: &Store, bottle: &Bottle, request: &ExportRequest) -> Result<Exported> {
    let (dir, record) = close::existing(bottles, bottle)?;
    let Some(workspace) = record.workspace else {
        let message =
            format!("the bottle `{}` was made by an earlier version, which exports nothing", record.name);
        return Err(Failure::new(FailureKind::Unsupported, message));
    };
    let places = Places { bottle: &dir.path, workspace: &workspace, home: Path::new(HOME) };
    let mut exported = export::export(call, places, request)?;
    exported.start = Some(record.directory);
    Ok(exported)
}
