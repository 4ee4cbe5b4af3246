//! `trust` and `untrust`: may the bottles of this directory's manifest count? A bottle is where secrets meet hosts.

use std::path::Path;

use claude_bottle_egress_policy::Intercept;

use super::App;
use crate::egress::{allowed_hosts, effective_policy};
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{
    self, Bottle, Egress, EnvSource, Locations, Manifest, ProblemKind, Project, ProjectFile,
};
use crate::trust::Trust;
use crate::ui::clean;
use crate::ui::interrupt::Interrupt;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle trust         show what this directory's manifest would grant, and ask
  claude-bottle trust --yes   in a script that knows the content

A bottle is where secrets meet hosts, so a manifest that came with a repository defines none until
you say so. Trust is for exactly this content: any change ends it.")]
pub(super) struct TrustArgs {
    /// Trust without asking
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct UntrustArgs {}

/// Returns where manifests are: in the home directory and in the project's, which is this directory or one above.
pub(super) fn locations(app: &App) -> Locations {
    locations_of(app, &project(app))
}

fn locations_of(app: &App, project: &Project) -> Locations {
    let invocation = &app.invocation;
    project.locations(&invocation.home, invocation.own_directory(), &invocation.profiles())
}

fn project(app: &App) -> Project {
    Project::find(&app.invocation.home, &app.invocation.cwd)
}

pub(super) fn open(app: &App) -> CliResult<Trust> {
    Ok(Trust::open(&app.invocation.state_dir)?)
}

/// Loads the manifest of this directory and of the home directory, and warns of what is left out.
pub(super) fn load_manifest(app: &App) -> CliResult<Manifest> {
    let (manifest, warning) = find_manifest(app)?;
    if let Some(warning) = warning {
        app.ui.warning(&warning);
    }
    if let Some(unread) = manifest::unread(&app.invocation.home, &app.invocation.config_dir) {
        app.ui.warning(&format!("`{}` is left out: the home directory has a manifest", unread.display()));
    }
    Ok(manifest)
}

/// Finds the manifest of this directory and of the home directory. That of this directory is left out when the user says so,
/// and with a warning when it may not define what it defines: code that nobody trusts is what bottles are for.
pub(super) fn find_manifest(app: &App) -> CliResult<(Manifest, Option<String>)> {
    let (project, trust) = (project(app), open(app)?);
    let all = locations_of(app, &project);
    let own = Locations { cwd: all.own.clone(), above: 0, ..all.clone() };
    if app.no_project {
        return Ok((Manifest::load_usable(&own, &trust)?, None));
    }
    match Manifest::load_usable(&all, &trust) {
        Err(errors) if errors.has(ProblemKind::Untrusted) => match Manifest::load_usable(&own, &trust) {
            Ok(manifest) => Ok((manifest, Some(left_out(&all)))),
            Err(_) => Err(errors.into()),
        },
        other => Ok((other?, project.foreign.as_deref().map(foreign))),
    }
}

/// Says that a project is not trusted.
fn left_out(locations: &Locations) -> String {
    let whose = match locations.above {
        0 => "this directory's manifest".to_owned(),
        _ => format!("the manifest of `{}`", locations.cwd.display()),
    };
    format!(
        "{whose} is left out: it defines bottles and is not trusted; see what it would grant: claude-bottle trust"
    )
}

/// Says that what lies above belongs to somebody else.
fn foreign(path: &Path) -> String {
    format!("`{}` is left out: it belongs to another user; in its own directory it counts", path.display())
}

pub(super) fn trust(app: &App, args: &TrustArgs) -> CliResult {
    let file = project_file(app)?;
    let mut trust = open(app)?;
    if trust.is_trusted(&file.path, &file.content) {
        app.ui.status(&format!("{} is trusted already, with this content", file.path.display()));
        return Ok(());
    }
    let granted = file.bottles.iter().map(|bottle| describe(bottle, file.replaces.contains(&bottle.name)));
    let mut text = clean(&format!("{} would grant:", file.path.display())).into_owned();
    for bottle in granted.collect::<anyhow::Result<Vec<_>>>()? {
        text.push('\n');
        text.push_str(&bottle);
    }
    // Nobody agrees to what was not shown.
    if args.yes {
        app.ui.say(&text)
    } else {
        app.ui.text(&text)
    }
    if !args.yes && !agreed(app)? {
        app.ui.status("aborted by user");
        return Ok(());
    }
    trust.trust(&file.path, &file.content)?;
    app.ui.status("trusted; any edit to the file revokes this");
    Ok(())
}

pub(super) fn untrust(app: &App, _args: &UntrustArgs) -> CliResult {
    app.invocation.here()?;
    let path = crate::manifest::path_in(&locations(app).cwd);
    let path = path.canonicalize().unwrap_or(path);
    let known = open(app)?.untrust(&path)?;
    let said = if known { "is not trusted any more" } else { "was not trusted" };
    app.ui.status(&format!("{} {said}", path.display()));
    Ok(())
}

fn project_file(app: &App) -> CliResult<ProjectFile> {
    app.invocation.here()?;
    ProjectFile::inspect(&locations(app))?.ok_or_else(|| {
        CliError::new(Exit::Failed, "nothing to trust here: no claude-bottle.yaml with bottles")
            .hint("the manifest of the home directory is your own, and trusted")
    })
}

fn agreed(app: &App) -> CliResult<bool> {
    app.confirm(
        "trust this version of the file?",
        "add --yes to trust without asking",
        &*Interrupt::install()?,
    )
}

/// Says whose HTTPS the guard looks into as the manifest has it, and whom it trusts for hosts.
fn https(egress: &Egress) -> Option<String> {
    let is_said = egress.intercept.origin.is_some() && egress.intercept.mode != Intercept::All;
    let mode = is_said.then(|| {
        let words = Intercept::ALL.into_iter().find(|(_, mode)| *mode == egress.intercept.mode);
        format!("intercept {}", words.map_or("", |(word, _)| word))
    });
    let hosts: Vec<_> = egress.passthrough.iter().map(ToString::to_string).collect();
    let files: Vec<_> = egress.authorities.iter().map(|file| file.path.display().to_string()).collect();
    let passed = (!hosts.is_empty()).then(|| format!("never of {}", hosts.join(", ")));
    let trusted = (!files.is_empty()).then(|| format!("hosts are trusted by {}", files.join(", ")));
    let kept = egress.capture.then(|| "requests and answers are kept in the log".to_owned());
    let said: Vec<_> = [mode, passed, trusted, kept].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Says what a bottle grants: names of variables, keys, every host, and where it runs.
fn describe(bottle: &Bottle, replaces: bool) -> anyhow::Result<String> {
    let names = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let env = bottle.env.iter().map(|entry| match &entry.source {
        EnvSource::Host { variable } => format!("{} (this machine's {variable})", entry.name),
        EnvSource::Ask { .. } => format!("{} (asked for)", entry.name),
        EnvSource::Literal(_) => entry.name.to_string(),
    });
    let ssh = bottle.ssh.iter().map(|entry| {
        format!("{}@{}:{} with {}", entry.user, entry.hostname, entry.port, entry.identity_file.display())
    });
    let replaced = if replaces { " (replaces the bottle of your own manifest)" } else { "" };
    let mut lines = vec![format!("  bottle {}{replaced}", bottle.name)];
    let mut line = |label: &str, value: String| lines.push(format!("    {label:<8}{value}"));
    line("env", names(env.collect()));
    for secret in &bottle.secrets {
        line("secret", format!("{} from {}, for {}", secret.name, secret.source, secret.goes_to()));
    }
    line("ssh", names(ssh.collect()));
    line("egress", names(allowed_hosts(&effective_policy(None, bottle)?)));
    let private =
        bottle.egress.private.iter().map(|entry| format!("{} in {}", entry.grant.host, entry.grant.range));
    let fixed = bottle.egress.hosts.iter().map(|entry| {
        let addresses: Vec<_> = entry.addresses.iter().map(ToString::to_string).collect();
        format!("{} is {}", entry.host, addresses.join(", "))
    });
    let (private, fixed) = (private.collect::<Vec<_>>(), fixed.collect::<Vec<_>>());
    if !private.is_empty() {
        line("private", private.join(", "));
    }
    if !fixed.is_empty() {
        line("hosts", fixed.join("; "));
    }
    if let Some(https) = https(&bottle.egress) {
        line("https", https);
    }
    if let Some(image) = &bottle.image {
        line("image", image.clone());
    }
    if !bottle.tools.is_empty() {
        line("tools", names(bottle.tools.iter().map(|tool| tool.path.display().to_string()).collect()));
    }
    if let Some(user) = &bottle.user {
        line("user", user.clone());
    }
    let options = bottle.options.iter();
    let options = options.map(|option| format!("{} of {}: {}", option.name, option.backend, option.value));
    let options: Vec<_> = options.collect();
    if !options.is_empty() {
        line("options", options.join(", "));
    }
    Ok(clean(&lines.join("\n")).into_owned())
}
