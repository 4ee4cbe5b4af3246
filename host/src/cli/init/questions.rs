//! What `init` asks, for those who gave no name.

use std::fs;

use super::super::App;
use super::{Args, FIRST_BOTTLE};
use crate::error::CliResult;
use crate::manifest::{AgentName, BottleName, Manifest, SkillName, listed};
use crate::ui::interrupt::Interrupt;

/// Asks for what the flags left open; returns false when the user gave up.
pub(super) fn ask(app: &App, manifest: &Manifest, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    let Some(name) = ask_until(app, "name of the agent", "", interrupt, |name| {
        AgentName::new(name).map(drop).map_err(|error| error.to_string())
    })?
    else {
        return Ok(false);
    };
    args.agent = Some(name);
    Ok(ask_bottle(app, manifest, args, interrupt)?
        && ask_skills(app, args, interrupt)?
        && ask_prompt(app, args, interrupt)?)
}

fn ask_bottle(app: &App, manifest: &Manifest, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    if args.bottle.is_some() {
        return Ok(true);
    }
    let names: Vec<_> = manifest.bottles().map(|bottle| bottle.name.as_str()).collect();
    if !names.is_empty() {
        app.ui.status(&format!("bottles: {}", listed(names.iter().copied())));
    }
    let default = if names.is_empty() { FIRST_BOTTLE } else { names[0] };
    let valid = |name: &str| BottleName::new(name).map(drop).map_err(|error| error.to_string());
    args.bottle = ask_until(app, "bottle it runs in", default, interrupt, valid)?;
    Ok(args.bottle.is_some())
}

fn ask_skills(app: &App, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    let installed = installed_skills(app);
    if !args.skills.is_empty() || installed.is_empty() {
        return Ok(true);
    }
    app.ui.status(&format!("skills that are installed: {}", listed(installed.iter().map(String::as_str))));
    let valid = |text: &str| match skills(text).find(|skill| !installed.iter().any(|known| known == skill)) {
        Some(unknown) => Err(format!("there is no skill `{unknown}`")),
        None => Ok(()),
    };
    let Some(answer) = ask_until(app, "skills, by commas (none)", "", interrupt, valid)? else {
        return Ok(false);
    };
    args.skills = skills(&answer).map(str::to_owned).collect();
    Ok(true)
}

fn ask_prompt(app: &App, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    if args.prompt.is_none() {
        args.prompt = app.ui.ask_text("what it is told first, in a line (nothing)", "", interrupt)?;
    }
    Ok(args.prompt.is_some())
}

fn skills(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|skill| !skill.is_empty())
}

/// Asks again as long as the answer is not valid.
fn ask_until(
    app: &App,
    question: &str,
    default: &str,
    interrupt: &Interrupt,
    valid: impl Fn(&str) -> Result<(), String>,
) -> CliResult<Option<String>> {
    while let Some(answer) = app.ui.ask_text(question, default, interrupt)? {
        match valid(&answer) {
            Ok(()) => return Ok(Some(answer)),
            Err(reason) => app.ui.warning(&reason),
        }
    }
    Ok(None)
}

fn installed_skills(app: &App) -> Vec<String> {
    let Ok(entries) = fs::read_dir(app.invocation.home.join(".claude/skills")) else { return Vec::new() };
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| SkillName::new(name.as_str()).is_ok()).collect();
    names.sort();
    names
}
