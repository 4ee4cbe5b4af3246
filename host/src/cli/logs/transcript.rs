//! `logs --transcript`: what the terminal of a run showed, if it was kept, so that it drives no other.

use std::io;
use std::process::ExitCode;

use anyhow::Context;

use super::super::App;
use crate::error::{CliError, CliResult, Exit};
use crate::run::hold::{MOST_TRANSCRIPT, TRANSCRIPT};
use crate::run::records::Record;
use crate::ui::clean;

/// Shows the transcript of a run.
pub(super) fn show(app: &App, record: &Record) -> CliResult<ExitCode> {
    let path = app.runs().dir(&record.id).join(TRANSCRIPT);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("run `{}` was started without --record, and has no transcript", record.id);
            let again = format!("keep the next one: claude-bottle start {} --record", record.agent);
            return Err(CliError::new(Exit::Failed, message).hint(again));
        }
        other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    app.ui.data(&clean(&text));
    if bytes.len() as u64 >= MOST_TRANSCRIPT {
        app.ui.warning("the transcript has reached its bound; what came later is not in it");
    }
    Ok(ExitCode::SUCCESS)
}
