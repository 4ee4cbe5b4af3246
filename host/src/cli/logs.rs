//! `logs`: what a run logged, also after it has ended.

use std::fs;
use std::io;

use anyhow::Context;

use super::App;
use crate::error::{CliError, CliResult, Exit};
use crate::runs::Record;
use crate::ui::clean;

/// The decision log of a run, in its directory.
const EGRESS: &str = "egress.jsonl";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent for the newest run
    bottle: Option<String>,
    /// Show the proxy's decisions, a JSON line each
    #[arg(long)]
    egress: bool,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let records = app.runs().all()?;
    let Some(wanted) = &args.bottle else {
        return list(app, &records);
    };
    let matches = |record: &&Record| [&record.id, &record.name, &record.agent].contains(&wanted);
    let record = records.iter().rev().find(matches).ok_or_else(|| {
        CliError::new(Exit::Failed, format!("there is no record of a run `{wanted}`"))
            .hint("claude-bottle logs")
    })?;
    if !args.egress {
        return Ok(app.ui.json(record)?);
    }
    let path = app.runs().dir(&record.id).join(EGRESS);
    match fs::read_to_string(&path) {
        Ok(text) if text.is_empty() => app.ui.status("the run made no request"),
        Ok(text) => app.ui.data(&clean(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => app.ui.status("the run has no egress log"),
        Err(error) => {
            return Err(anyhow::Error::new(error).context(format!("read `{}`", path.display())).into());
        }
    }
    Ok(())
}

fn list(app: &App, records: &[Record]) -> CliResult {
    let row = |record: &Record| {
        let phase = serde_json::to_value(record.phase).context("write a phase")?;
        let phase = phase.as_str().unwrap_or_default().to_owned();
        let age = super::table::age(record.created_unix);
        Ok([record.id.clone(), record.agent.clone(), record.backend.clone(), phase, age])
    };
    let rows = records.iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
    app.ui.data(&crate::ui::columns(["RUN", "AGENT", "BACKEND", "PHASE", "AGE"], &rows));
    Ok(())
}
