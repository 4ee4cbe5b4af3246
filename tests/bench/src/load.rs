//! What loading a plug-in costs.

use std::process::Command;

use crate::contender::{Contender, Table, compare, whole};
use crate::home::Home;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let home = Home::new()?;
    let dry_run = ["--quiet", "start", "bench", "--dry-run", "--backend", "fake"];
    compare(
        "Loading (whole processes)",
        rounds * 4,
        &[
            Contender::new("/bin/true", || whole(&mut Command::new("/bin/true"))),
            Contender::new("claude-bottle --version", || whole(&mut home.without_image(&["--version"]))),
            Contender::new("claude-bottle start --dry-run, fake backend", || {
                whole(&mut home.without_image(&dry_run))
            }),
        ],
    )
}
