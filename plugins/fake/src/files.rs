//! A fake bottle's home: the working directory is copied in, and what the agent left is written out.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use claude_bottle_kit::export::{self, Places};
use claude_bottle_kit::restore::{self, Restored};
use claude_bottle_kit::tree::{self, Baseline};
use claude_bottle_kit::workspace::{Place, checkout};
use claude_bottle_plugin_api::{
    Call, ErrorExt, ExportRequest, Exported, Failure, FailureKind, Result, Spec, Workspace,
};

/// The copy of the working directory, in the home.
pub(crate) const WORKSPACE: &str = "workspace";

/// Makes the home with a copy of the working directory in it.
pub(crate) fn copy_in(workspace: &Workspace, home: &Path) -> Result<()> {
    fs::create_dir_all(home).failure(FailureKind::Internal, || "cannot make a home")?;
    let options = checkout(workspace, None, u64::MAX)?.options;
    let mut baseline = workspace.index.as_deref().map(Baseline::create).transpose()?;
    let record = baseline.as_mut().map(|baseline| baseline.below(Path::new("")));
    tree::copy(&workspace.source, &home.join(WORKSPACE), &options, record, &mut |_| true)?;
    Ok(baseline.map_or(Ok(()), Baseline::finish)?)
}

/// Lays what an earlier bottle left over the copy of the working directory and over the home. `start` is where programs start.
pub(crate) fn lay(spec: &Spec, home: &Path, start: &Path) -> Result<()> {
    let workspace = home.join(WORKSPACE);
    let text = |path: &Path| path.display().to_string();
    let place = Place { root: text(&workspace), start: text(start), refused: None };
    if let Some(restored) = Restored::read(spec.restore.as_ref(), &spec.agent, &place, &text(home))? {
        restored.lay(restore::Places { workspace: &workspace, home }, None)?;
    }
    Ok(())
}

/// Writes what the agent left to the request's stream.
pub(crate) fn export(
    call: &Call,
    (home, start): (&Path, &Path),
    request: &ExportRequest,
) -> Result<Exported> {
    if !home.is_dir() {
        return Err(Failure::new(FailureKind::NotFound, "the bottle has no working directory"));
    }
    let places = Places { bottle: home, workspace: Path::new(WORKSPACE), home: Path::new("") };
    let mut exported = export::export(call, places, request)?;
    exported.start = Some(start.display().to_string());
    Ok(exported)
}

/// Removes a home, whatever the agent has done to its permissions; one that is not there is fine.
pub(crate) fn remove(home: &Path) -> io::Result<()> {
    match fs::remove_dir_all(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(home)?;
            fs::remove_dir_all(home)
        }
        removed => removed,
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
