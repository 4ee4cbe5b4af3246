//! `init`: adds an agent to a manifest, by flags or by questions, and shows what it wrote.

mod backend;
mod offers;
mod questions;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::app::Calls;
use super::trust::open;
use super::{App, usage};
use crate::egress::presets::Preset;
use crate::environment::TOKEN;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{
    self, AgentName, BottleName, Format, Locations, Manifest, NameError, NewAgent, ProblemKind, SkillName,
    add_agent, replace_file, slugified,
};
use crate::profile::{DEFAULT, Profile};
use crate::ui::interrupt::Interrupt;
use crate::ui::{Answer, clean};

/// The bottle that is offered when the manifest has none.
const FIRST_BOTTLE: &str = "dev";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle init                               ask for everything
  claude-bottle init --yes                         take what is offered
  claude-bottle init writer                        in the only bottle, or in a new one, `dev`
  claude-bottle init web --bottle web --preset node --token ANTHROPIC_API_KEY
  claude-bottle init cx --profile codex            Codex in place of Claude Code
  claude-bottle init review --here                 in this directory's manifest, for all who work here

A bottle that the manifest does not have is added too, with the presets and the token that are named;
one that is there stays as it is. What else it grants is written by hand: claude-bottle edit")]
pub(super) struct Args {
    /// The new agent's name; without one, ask for everything
    agent: Option<String>,
    /// The bottle it runs in
    #[arg(short, long, value_name = "NAME")]
    bottle: Option<String>,
    /// A skill of ~/.claude/skills; may be repeated
    #[arg(short, long = "skill", value_name = "NAME")]
    skills: Vec<String>,
    /// Hosts of registries and forges for a new bottle, by a preset's name; may be repeated
    #[arg(long = "preset", value_name = "NAME", value_parser = offers::preset)]
    presets: Vec<&'static Preset>,
    /// The variable of this machine with the token for a new bottle
    #[arg(long, value_name = "VARIABLE")]
    token: Option<String>,
    /// What is known of its program: claude, codex, gemini, opencode, aider, shell, or one of your own
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The backend to start it in
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// What the agent is told first
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Use the manifest of the working directory instead of the home directory's
    #[arg(long)]
    here: bool,
    /// Take what is offered and do not ask, not even when comments get lost
    #[arg(short, long)]
    yes: bool,
}

/// A manifest that an agent is to be added to.
struct Target {
    locations: Locations,
    path: PathBuf,
    old: String,
    manifest: Manifest,
    /// Whether it is the working directory's, which defines no bottle.
    here: bool,
}

pub(super) fn run(app: &App, mut args: Args) -> CliResult {
    let target = target(app, args.here)?;
    let calls = Calls::new(app)?;
    let interrupt = &calls.interrupt;
    let asks = args.agent.is_none() && app.ui.interactive && !args.yes;
    if let Some(name) = &args.profile {
        questions::profile_named(app, name).map_err(usage)?;
    }
    if args.agent.is_none() && !asks {
        args.agent = Some(offers::name(&target, &*profile(app, &args)?).to_owned())
            .filter(|name| args.yes && !name.is_empty());
    }
    if args.agent.is_none() && !asks {
        let missing = usage("the new agent's name is missing").hint("claude-bottle init AGENT");
        let rest = "or take all that is offered: claude-bottle init --yes";
        return Err(if args.yes { missing } else { missing.hint(rest) });
    }
    let Some(backend) = backend::choose(app, &calls, args.backend.as_deref(), asks)? else {
        return gave_up(app);
    };
    if asks && !questions::ask(app, &target, &mut args, interrupt)? {
        return gave_up(app);
    }
    let profile = profile(app, &args)?;
    check_token(&profile, &args)?;
    if args.yes {
        take_offers(app, &target, &mut args, &profile)?;
    }
    let new = new_agent(&target, &args)?;
    let added = add_agent(&target.old, Format::of(&target.path), &new)
        .map_err(|error| anyhow::Error::new(error).context(format!("cannot add agent `{}`", new.name)))?;
    check(app, &target, &added.text)?;
    if !added.layout_kept && !may_rewrite(app, &target, args.yes, interrupt)? {
        return gave_up(app);
    }
    write(&target, &added.text)?;
    report(app, &target, &added.text, &new);
    next(app, &new, &args, (&profile, &backend));
    Ok(())
}

/// Returns what is known of the new agent's program.
fn profile(app: &App, args: &Args) -> CliResult<Arc<Profile>> {
    questions::profile_named(app, args.profile.as_deref().unwrap_or(DEFAULT)).map_err(usage)
}

/// Refuses a variable that the new agent's program does not log in with.
fn check_token(profile: &Profile, args: &Args) -> CliResult {
    let known = offers::tokens(profile);
    match &args.token {
        Some(token) if !known.contains(&token.as_str()) => {
            let known = manifest::listed(known.iter().copied());
            Err(usage(format!(
                "`{token}` is not a variable that the profile `{}` takes a token from: {known}",
                profile.name
            )))
        }
        _ => Ok(()),
    }
}

fn gave_up(app: &App) -> CliResult {
    app.ui.status("aborted by user");
    Ok(())
}

/// Takes what is offered for a new bottle, where flags say nothing.
fn take_offers(app: &App, target: &Target, args: &mut Args, profile: &Profile) -> CliResult {
    if !target.defines(&bottle(target, args)?) {
        if args.presets.is_empty() {
            args.presets = offers::presets(app).into_iter().map(|(preset, _)| preset).collect();
        }
        args.token = args.token.take().or_else(|| offers::token(app, profile).map(str::to_owned));
    }
    Ok(())
}

/// Judges the manifest as it would be.
fn check(app: &App, target: &Target, text: &str) -> CliResult {
    let checked = Manifest::check_candidate(&target.locations, &open(app)?, &target.path, text.as_bytes());
    let as_it_would_be = "nothing was written; the lines are those of the manifest as it would be";
    checked.map(drop).map_err(|errors| CliError::from(errors).hint(as_it_would_be))
}

impl Target {
    /// Returns `true` if the manifest has the bottle.
    fn defines(&self, bottle: &BottleName) -> bool {
        self.manifest.bottle(bottle.as_str()).is_some()
    }
}

fn target(app: &App, here: bool) -> CliResult<Target> {
    if here {
        app.invocation.here()?;
    }
    // A new manifest is written where the user stands, whatever is above.
    let (home, cwd) = (app.invocation.home.clone(), app.invocation.cwd.clone());
    let own = app.invocation.own_directory();
    let all = Locations { home, own, cwd, above: 0, profiles: app.invocation.profiles() };
    // The user's own manifest is judged by itself: what a project says about it does not matter.
    let locations = if here { all } else { Locations { cwd: all.own.clone(), ..all } };
    let path = manifest::path_in(&locations.cwd);
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(anyhow::Error::new(error)
                .context(format!("cannot read `{}`", path.display()))
                .into());
        }
    };
    let manifest = match Manifest::load(&locations, &open(app)?) {
        Ok(manifest) => manifest,
        Err(errors)
            if errors
                .problems()
                .iter()
                .all(|problem| matches!(problem.kind(), ProblemKind::NoFile | ProblemKind::Empty)) =>
        {
            Manifest::default()
        }
        Err(errors) => return Err(errors.into()),
    };
    let here = locations.cwd != locations.own;
    Ok(Target { locations, path, old, manifest, here })
}

fn new_agent(target: &Target, args: &Args) -> CliResult<NewAgent> {
    let name = args.agent.as_deref().unwrap_or_default();
    let name = AgentName::new(name).map_err(|error| bad_name("agent", name, &error))?;
    let bottle = bottle(target, args)?;
    let is_defined = target.defines(&bottle);
    if is_defined && (!args.presets.is_empty() || args.token.as_ref().is_some_and(|token| token != TOKEN)) {
        let message = format!("bottle `{bottle}` is there already, and stays as it is");
        return Err(CliError::new(Exit::Failed, message)
            .hint("name a new bottle with --bottle, or change this one by hand: claude-bottle edit"));
    }
    if target.here && !is_defined {
        let message =
            format!("bottle `{bottle}` is not defined, and a project's manifest should define none");
        return Err(CliError::new(Exit::Failed, message)
            .hint(format!("define it in your own manifest: claude-bottle init {name} --bottle {bottle}")));
    }
    let skill = |skill: &String| SkillName::new(skill).map_err(|error| bad_name("skill", skill, &error));
    Ok(NewAgent {
        name,
        bottle,
        new_bottle: (!is_defined).then(|| offers::bottle(&args.presets, args.token.as_deref())),
        skills: args.skills.iter().map(skill).collect::<CliResult<_>>()?,
        profile: args.profile.clone().filter(|name| name != DEFAULT),
        prompt: args.prompt.clone().unwrap_or_default(),
    })
}

/// Returns the bottle that is named, or that needs no choice.
fn bottle(target: &Target, args: &Args) -> CliResult<BottleName> {
    match &args.bottle {
        Some(bottle) => BottleName::new(bottle).map_err(|error| bad_name("bottle", bottle, &error)),
        None => only_bottle(&target.manifest),
    }
}

/// Returns the bottle that needs no choice: the only one, or the first.
fn only_bottle(manifest: &Manifest) -> CliResult<BottleName> {
    let names: Vec<_> = manifest.bottles().map(|bottle| &bottle.name).collect();
    match names[..] {
        [only] => Ok(only.clone()),
        [] => BottleName::new(FIRST_BOTTLE)
            .map_err(|error| anyhow::Error::new(error).context("cannot name the first bottle").into()),
        _ => {
            let names = manifest::listed(names.iter().map(|name| name.as_str()));
            Err(usage(format!("which bottle? There are several: {names}")).hint("add --bottle NAME"))
        }
    }
}

fn bad_name(what: &str, text: &str, error: &NameError) -> CliError {
    let failed = usage(format!("`{text}` is not a valid {what} name: {error}"));
    match slugified(text).filter(|slug| slug != text && what != "skill") {
        Some(slug) => failed.hint(format!("did you mean `{slug}`?")),
        None => failed,
    }
}

/// Asks before comments get lost: a manifest in another layout than usual is rewritten.
fn may_rewrite(app: &App, target: &Target, yes: bool, interrupt: &Interrupt) -> CliResult<bool> {
    let is_yaml = Format::of(&target.path) == Format::Yaml;
    if yes || !is_yaml || !target.old.contains('#') {
        return Ok(true);
    }
    let shown = target.path.display();
    let lost = format!("`{shown}` has to be rewritten, and its comments would be lost");
    if !app.ui.interactive {
        return Err(CliError::new(Exit::Failed, lost)
            .hint("add --yes to lose them, or add the agent by hand: claude-bottle edit"));
    }
    app.ui.warning(&lost);
    match app.ui.ask("rewrite the file?", interrupt)? {
        Some(answer) => Ok(answer == Answer::Yes),
        None => Err(CliError::new(Exit::Interrupted, "interrupted")),
    }
}

fn write(target: &Target, text: &str) -> CliResult {
    let path = &target.path;
    Ok(replace_file(path, text).with_context(|| format!("cannot write `{}`", path.display()))?)
}

/// Shows what was written.
fn report(app: &App, target: &Target, text: &str, new: &NewAgent) {
    app.ui.status(&format!("added agent `{}` to {}", new.name, target.path.display()));
    for line in added_lines(&target.old, text) {
        app.ui.say(&app.ui.paint("32", &format!("  + {}", clean(line))));
    }
    if app.ui.is_quiet() {
        return;
    }
    let was_trusted =
        target.here && target.manifest.bottles().any(|bottle| is_in(bottle.origin.path(), target));
    if was_trusted {
        app.ui.hint(
            "this directory's manifest has changed, so its bottles need trust again: claude-bottle trust",
        );
    }
}

/// Says what is still missing, and ends with the command that starts the agent.
fn next(app: &App, new: &NewAgent, args: &Args, (profile, backend): (&Profile, &backend::Choice)) {
    if app.ui.is_quiet() {
        return;
    }
    let usual = offers::tokens(profile).first().copied();
    let variable = args.token.as_deref().or(usual).unwrap_or_default();
    if let Some(login) =
        profile.login.as_ref().filter(|_| new.new_bottle.is_some() && !offers::is_set(app, variable))
    {
        app.ui.hint(&format!("no token: {}; {}", login.missing, login.fix.replace(TOKEN, variable)));
    }
    if !backend.works() {
        app.ui.hint("see what the backend needs: claude-bottle doctor");
    }
    let invocation = &app.invocation;
    // A home directory is refused as a workspace.
    let cwd = if invocation.cwd == invocation.home { "" } else { " --cwd" };
    app.ui.hint(&format!("start it: claude-bottle start {}{cwd}{}", new.name, backend.flag()));
}

fn is_in(path: &Path, target: &Target) -> bool {
    path.parent() == Some(target.locations.cwd.as_path())
}

/// Returns the lines of the new text that the old one does not have, in their order.
fn added_lines<'t>(old: &str, new: &'t str) -> Vec<&'t str> {
    let mut old = old.lines().peekable();
    new.lines().filter(|line| old.next_if_eq(line).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_between_is_shown() {
        assert_eq!(added_lines("a\nb\n", "a\nx\nb\ny\n"), ["x", "y"]);
        assert_eq!(added_lines("", "a\n"), ["a"]);
        assert!(added_lines("a\n", "a\n").is_empty());
    }
}
