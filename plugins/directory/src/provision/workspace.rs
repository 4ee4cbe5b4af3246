//! The working directory: copied into the home, before the sandbox is there.

use std::path::Path;

use claude_bottle_kit::tree::Baseline;
use claude_bottle_kit::workspace::{WorkspaceError, checkout, facts};
use claude_bottle_kit::{Meter, tree};
use claude_bottle_plugin_api::{Failure, Result, Spec};

use super::Guest;
use crate::{copy as host, layout};

const STEP: &str = "copy-workspace";

/// What a look at the working directory found.
#[derive(Default)]
pub(crate) struct Surveyed {
    /// What the plan says of it.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// How many bytes will be copied.
    pub(crate) bytes: u64,
}

/// Walks the directory and its repository, so that what cannot be copied is refused before anything is made.
pub(super) fn survey(spec: &Spec) -> Result<Surveyed> {
    let Some(workspace) = &spec.workspace else { return Ok(Surveyed::default()) };
    let refuse =
        |error: WorkspaceError| Failure::from(error).context("cannot copy the working directory".to_owned());
    let found = checkout(workspace, None, u64::MAX).map_err(refuse)?;
    let survey = tree::survey(&workspace.source, &found.options).map_err(|error| refuse(error.into()))?;
    for (source, options) in found.repository.iter().flat_map(|repository| &repository.trees) {
        tree::survey(source, options).map_err(|error| refuse(error.into()))?;
    }
    Ok(Surveyed { facts: facts(&survey), bytes: survey.amount.bytes })
}

/// Makes the place where programs start: a copy of the working directory, or an empty one.
///
/// # Errors
/// Fails when it cannot be copied whole, and when the call is cancelled.
pub fn copy(guest: &Guest<'_>) -> Result<()> {
    let (dir, call) = (guest.dir, guest.call);
    let (place, _) = layout::workspace(guest.spec, guest.home);
    for above in Path::new(&place).ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        if !dir.join(&above.to_string_lossy()).is_dir() {
            dir.make_dir(&above.to_string_lossy(), 0o755, guest.owner())?;
        }
    }
    let Some(workspace) = &guest.spec.workspace else {
        return dir.make_dir(&place, 0o755, guest.owner()).map(drop);
    };
    let step = call.step(STEP, "copying the working directory");
    let found = checkout(workspace, guest.owner().map(|id| (id, id)), u64::MAX)?;
    let mut meter = Meter::new(call, STEP, Some(guest.workspace_bytes));
    let (source, target) = (&workspace.source, dir.join(&place));
    let mut baseline = workspace.index.as_deref().map(Baseline::create).transpose()?;
    let record = baseline.as_mut().map(|baseline| baseline.below(Path::new("")));
    host::copy(call, source, &target, &found.options, record, |done| meter.tell(done))?;
    baseline.map_or(Ok(()), Baseline::finish)?;
    step.done();
    Ok(())
}
