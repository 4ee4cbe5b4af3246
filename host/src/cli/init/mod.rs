//! `init`: adds an agent to a manifest, by flags or by questions, and shows what it wrote.

mod questions;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::trust::{locations, open};
use super::{App, usage};
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{
    self, AgentName, BottleName, Format, Locations, Manifest, NameError, NewAgent, ProblemKind, SkillName,
    add_agent, replace_file, slugified,
};
use crate::ui::interrupt::Interrupt;
use crate::ui::{Answer, clean};

/// The bottle that is offered when the manifest has none.
const FIRST_BOTTLE: &str = "dev";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle init                               ask for everything
  claude-bottle init writer                        in the only bottle, or in a new one, `dev`
  claude-bottle init docs --bottle dev --skill pdf --prompt 'You write documentation.'
  claude-bottle init review --here                 in this directory's manifest, for all who work here

A bottle that the manifest does not have is added too, empty: it reaches only what every bottle
reaches. What else it grants is then written by hand: claude-bottle edit")]
pub(super) struct Args {
    /// The new agent's name; without one, ask
    agent: Option<String>,
    /// The bottle it runs in
    #[arg(short, long, value_name = "NAME")]
    bottle: Option<String>,
    /// A skill of ~/.claude/skills; may be repeated
    #[arg(short, long = "skill", value_name = "NAME")]
    skills: Vec<String>,
    /// What the agent is told first
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Use the manifest of the working directory instead of the home directory's
    #[arg(long)]
    here: bool,
    /// Do not ask, not even when comments get lost
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
    let interrupt = Interrupt::install()?;
    if args.agent.is_none() {
        if !app.ui.interactive || args.yes {
            return Err(usage("the new agent's name is missing").hint("claude-bottle init AGENT"));
        }
        if !questions::ask(app, &target.manifest, &mut args, &interrupt)? {
            app.ui.status("aborted by user");
            return Ok(());
        }
    }
    let new = new_agent(&target, &args)?;
    let added = add_agent(&target.old, Format::of(&target.path), &new)
        .map_err(|error| anyhow::Error::new(error).context(format!("cannot add agent `{}`", new.name)))?;
    Manifest::check_candidate(&target.locations, &open(app)?, &target.path, added.text.as_bytes())?;
    if !added.layout_kept && !may_rewrite(app, &target, args.yes, &interrupt)? {
        app.ui.status("aborted by user");
        return Ok(());
    }
    write(&target, &added.text)?;
    report(app, &target, &added.text, &new);
    Ok(())
}

fn target(app: &App, here: bool) -> CliResult<Target> {
    if here {
        app.invocation.here()?;
    }
    let all = locations(app);
    // The home directory's manifest is judged by itself: what a project says about it does not matter.
    let locations = if here { all } else { Locations { cwd: all.home.clone(), ..all } };
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
    let here = locations.cwd != locations.home;
    Ok(Target { locations, path, old, manifest, here })
}

fn new_agent(target: &Target, args: &Args) -> CliResult<NewAgent> {
    let name = args.agent.as_deref().unwrap_or_default();
    let name = AgentName::new(name).map_err(|error| bad_name("agent", name, &error))?;
    let bottle = match &args.bottle {
        Some(bottle) => BottleName::new(bottle).map_err(|error| bad_name("bottle", bottle, &error))?,
        None => only_bottle(&target.manifest)?,
    };
    let is_defined = target.manifest.bottle(bottle.as_str()).is_some();
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
        define_bottle: !is_defined,
        skills: args.skills.iter().map(skill).collect::<CliResult<_>>()?,
        prompt: args.prompt.clone().unwrap_or_default(),
    })
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

/// Shows what was written, and what to do next.
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
    app.ui.hint(&format!("see what it would do: claude-bottle start {} --dry-run", new.name));
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
