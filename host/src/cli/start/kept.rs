//! `--keep`, and going on from a bottle whose files were kept.

use std::path::Path;

use claude_bottle_plugin_api::Capability;

use super::super::App;
use super::super::app::Calls;
use crate::error::{CliError, CliResult, Exit};
use crate::results::kept::Kept;
use crate::results::resume::{self, Resumed};
use crate::results::store::Saved;
use crate::run::backend::Backend;
use crate::run::records::Record;

/// Fails if a backend cannot keep the files of its bottles.
pub(in crate::cli) fn check(backend: &Backend, option: &str) -> CliResult {
    if backend.offers(&Capability::KEEP) && backend.offers(&Capability::EXPORT) {
        return Ok(());
    }
    let message = format!("the {} backend does not offer `keep`, which {option} needs", backend.name());
    Err(CliError::new(Exit::Failed, message)
        .hint(format!("leave out {option}: what is changed is saved all the same")))
}

/// Makes ready what a new bottle goes on from. A bottle that is kept and cannot be read is said, and its result is enough.
pub(super) fn staged(app: &App, calls: &Calls, saved: &Saved, stage: &Path) -> CliResult<Resumed> {
    let run = &saved.result.run;
    let Some(record) = app.runs().kept(run) else {
        if saved.result.kept.is_some() {
            app.ui.warning(&format!("the bottle of `{run}` is gone: what git ignores does not come along"));
        }
        return Ok(resume::stage(saved, None, stage)?);
    };
    match from_bottle(app, calls, saved, &record, stage) {
        Ok(resumed) => Ok(resumed),
        Err(error) => {
            let why = error.error;
            app.ui.warning(&format!("what git ignores does not come along from `{run}`: {why:#}"));
            for file in ["workspace.tar", "removed.jsonl"] {
                drop(std::fs::remove_file(stage.join(file)));
            }
            Ok(resume::stage(saved, None, stage)?)
        }
    }
}

fn from_bottle(app: &App, calls: &Calls, saved: &Saved, record: &Record, stage: &Path) -> CliResult<Resumed> {
    let gone = || CliError::new(Exit::Failed, "its record does not say how it is reached");
    let bottle = record.instance.as_ref().ok_or_else(gone)?;
    let backend = app.open(&record.backend, calls)?;
    let run_dir = app.runs().dir(&record.id);
    let kept = Kept { backend: &backend, bottle, run_dir: &run_dir };
    let resumed = resume::stage(saved, Some(&kept), stage);
    calls.progress.clear();
    Ok(resumed?)
}
