//! `plugin pin` and `plugin unpin`: accept a plug-in with one content only.

use super::App;
use crate::error::CliResult;
use crate::plugins::{pin, registry};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backend's name
    name: String,
}

pub(super) fn pin(app: &App, args: &Args) -> CliResult {
    let hash = registry::hash(&app.search_path(), &args.name)?;
    pin::pin(&app.pins_file(), &args.name, &hash)?;
    app.ui.status(&format!("pinned {} to sha256 {hash}", args.name));
    Ok(())
}

pub(super) fn unpin(app: &App, args: &Args) -> CliResult {
    pin::unpin(&app.pins_file(), &args.name)?;
    app.ui.status(&format!("unpinned {}", args.name));
    Ok(())
}
