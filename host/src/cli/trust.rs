//! `trust` and `untrust`: may the bottles of this directory's manifest count? A bottle is where secrets meet hosts.

use super::App;
use crate::egress::{allowed_hosts, effective_policy};
use crate::error::{CliError, CliResult, Exit};
use crate::interrupt::Interrupt;
use crate::manifest::{Bottle, Locations, Manifest, ProjectFile};
use crate::trust::Trust;
use crate::ui::Answer;

#[derive(Debug, clap::Args)]
pub(super) struct TrustArgs {
    /// Trust without asking
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct UntrustArgs {}

fn locations(app: &App) -> Locations {
    Locations { home: app.invocation.home.clone(), cwd: app.invocation.cwd.clone() }
}

fn open(app: &App) -> CliResult<Trust> {
    Ok(Trust::open(&app.invocation.state_dir)?)
}

/// Loads the manifest of this directory and of the home directory.
pub(super) fn load_manifest(app: &App) -> CliResult<Manifest> {
    Ok(Manifest::load(&locations(app), &open(app)?)?)
}

pub(super) fn trust(app: &App, args: &TrustArgs) -> CliResult {
    let file = project_file(app)?;
    let mut trust = open(app)?;
    if trust.is_trusted(&file.path, &file.content) {
        app.ui.status(&format!("{} is trusted already, with this content", file.path.display()));
        return Ok(());
    }
    app.ui.status(&format!("{} would grant:", file.path.display()));
    for bottle in &file.bottles {
        app.ui.text(&describe(bottle, file.replaces.contains(&bottle.name))?);
    }
    if !args.yes && !agreed(app)? {
        app.ui.status("aborted by user");
        return Ok(());
    }
    trust.trust(&file.path, &file.content)?;
    app.ui.status("trusted, until its content changes");
    Ok(())
}

pub(super) fn untrust(app: &App, _args: &UntrustArgs) -> CliResult {
    let path = crate::manifest::path_in(&app.invocation.cwd);
    let path = path.canonicalize().unwrap_or(path);
    let known = open(app)?.untrust(&path)?;
    let said = if known { "is no longer trusted" } else { "was not trusted" };
    app.ui.status(&format!("{} {said}", path.display()));
    Ok(())
}

fn project_file(app: &App) -> CliResult<ProjectFile> {
    ProjectFile::inspect(&locations(app))?.ok_or_else(|| {
        CliError::new(Exit::Failed, "there is no manifest in this directory that would need trust")
            .hint("the manifest of the home directory is your own, and trusted")
    })
}

fn agreed(app: &App) -> CliResult<bool> {
    if !app.ui.interactive {
        return Err(CliError::new(Exit::Failed, "there is no terminal to ask on")
            .hint("add --yes to trust without asking"));
    }
    match app.ui.ask("trust exactly this content?", &*Interrupt::install()?)? {
        Some(answer) => Ok(answer == Answer::Yes),
        None => Err(CliError::new(Exit::Interrupted, "interrupted")),
    }
}

/// Says what a bottle grants: names of variables, keys, every host.
fn describe(bottle: &Bottle, replaces: bool) -> anyhow::Result<String> {
    let names = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let env = bottle.env.iter().map(|entry| entry.name.to_string()).collect();
    let ssh = bottle.ssh.iter().map(|entry| format!("{} with {}", entry.host, entry.identity_file.display()));
    let replaced = if replaces { " (replaces the bottle of your own manifest)" } else { "" };
    let text = format!(
        "  bottle {}{replaced}\n    env     {}\n    ssh     {}\n    egress  {}",
        bottle.name,
        names(env),
        names(ssh.collect()),
        names(allowed_hosts(&effective_policy(bottle)?)),
    );
    Ok(crate::ui::clean(&text).into_owned())
}
