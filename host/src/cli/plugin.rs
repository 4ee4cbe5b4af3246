//! `plugin`: list, pin and unpin backend plug-ins.

use std::process::ExitCode;

use super::{App, Format};
use crate::error::CliResult;
use crate::plugins::pin;
use crate::plugins::registry::{self, Entry, Status};
use crate::ui::columns;

/// How much of a hash the table shows.
const HASH_SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the plug-ins that are found, without running any of their code
    List(ListArgs),
    /// Accept a plug-in only with the content it has now
    Pin(NameArgs),
    /// Accept a plug-in with any content again
    Unpin(NameArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct NameArgs {
    /// The backend's name
    name: String,
}

pub(super) fn run(app: &App, args: Args) -> CliResult<ExitCode> {
    match args.what {
        What::List(args) => list(app, args.format)?,
        What::Pin(args) => pin_now(app, &args.name)?,
        What::Unpin(args) => {
            pin::unpin(&app.pins_file(), &args.name)?;
            app.ui.status(&format!("unpinned {}", args.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn pin_now(app: &App, name: &str) -> CliResult {
    let hash = registry::hash(&app.search_path(), name)?;
    pin::pin(&app.pins_file(), name, &hash)?;
    app.ui.status(&format!("pinned {name} to sha256 {hash}"));
    Ok(())
}

fn list(app: &App, format: Format) -> CliResult {
    let search_path = app.search_path();
    let entries = registry::list(&search_path, &app.pins()?);
    if format == Format::Json {
        return Ok(app.ui.json(&entries)?);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    app.ui.data(&columns(["NAME", "VERSION", "CONTRACT", "SHA256", "PINNED", "STATUS", "FILE"], &rows));
    for entry in &entries {
        for path in &entry.shadowed {
            app.ui.status(&format!("{} shadows {}", entry.path.display(), path.display()));
        }
    }
    Ok(())
}

fn row(entry: &Entry) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let status = match &entry.status {
        Status::Refused { reason, .. } => format!("refused: {reason}"),
        _ => "usable".to_owned(),
    };
    [
        entry.name.clone(),
        or_dash(entry.version.clone()),
        or_dash(entry.contract.map(|version| version.to_string())),
        or_dash(entry.sha256.as_ref().map(|hash| hash.chars().take(HASH_SHOWN).collect())),
        if entry.pinned { "yes" } else { "no" }.to_owned(),
        status,
        entry.path.display().to_string(),
    ]
}
