//! `plugin list`: the plug-ins that are found, without running any of their code.

use super::{App, Format};
use crate::error::CliResult;
use crate::plugins::registry::{self, Entry, Status};
use crate::plugins::shown;
use crate::ui::columns;

/// How much of a hash the table shows.
const HASH_SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let search_path = app.search_path();
    let entries = registry::list(&search_path, &app.pins()?);
    if args.format == Format::Json {
        return Ok(app.ui.json(&entries)?);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    app.ui.data(&columns(["NAME", "VERSION", "CONTRACT", "SHA256", "PINNED", "STATUS", "FILE"], &rows));
    for entry in &entries {
        for path in &entry.shadowed {
            app.ui.status(&format!("{} shadows {}", shown(&entry.path), shown(path)));
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
        shown(&entry.path),
    ]
}
