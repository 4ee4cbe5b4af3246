//! The working directory: copied into the home, before the sandbox is there.

use claude_bottle_backend_shared::workspace::{WorkspaceError, checkout, facts};
use claude_bottle_backend_shared::{Meter, tree};
use claude_bottle_plugin_api::{Call, Failure, Result, Spec};

use crate::guest::WORKSPACE;
use crate::plan::PlanState;
use crate::rundir::RunDir;
use crate::sandbox::HOME;

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
pub(crate) fn survey(spec: &Spec) -> Result<Surveyed> {
    let Some(workspace) = &spec.workspace else { return Ok(Surveyed::default()) };
    let refuse =
        |error: WorkspaceError| Failure::from(error).context("copy the working directory".to_owned());
    let found = checkout(workspace, None, u64::MAX).map_err(refuse)?;
    let survey = tree::survey(&workspace.source, &found.options).map_err(|error| refuse(error.into()))?;
    for (source, options) in found.repository.iter().flat_map(|repository| &repository.trees) {
        tree::survey(source, options).map_err(|error| refuse(error.into()))?;
    }
    Ok(Surveyed { facts: facts(&survey), bytes: survey.amount.bytes })
}

/// Makes the place where programs start: a copy of the working directory, or an empty one.
pub(crate) fn copy(call: &Call, state: &PlanState, dir: &RunDir) -> Result<()> {
    let place = format!("{HOME}/{WORKSPACE}");
    let Some(workspace) = &state.spec.workspace else {
        return dir.make_dir(&place, 0o755, state.drop_to).map(drop);
    };
    let step = call.step(STEP, "copying the working directory");
    let found = checkout(workspace, state.drop_to.map(|id| (id, id)), u64::MAX)?;
    let mut meter = Meter::new(call, STEP, Some(state.workspace_bytes));
    crate::tree::copy(call, &workspace.source, &dir.join(&place), &found.options, |done| meter.tell(done))?;
    step.done();
    Ok(())
}
