//! What `init` asks when no name was given.

use std::fs;
use std::sync::Arc;

use super::super::App;
use super::{Args, FIRST_BOTTLE, Target, bottle, offers};
use crate::egress::presets::{self, Preset};
use crate::error::CliResult;
use crate::manifest::{AgentName, BottleName, SkillName, listed, nearest};
use crate::profile::{DEFAULT, FindError, Profile};
use crate::ui::interrupt::Interrupt;

/// The answer for no preset, where some are offered.
const NONE: &str = "none";

/// Asks for what the flags left open; returns false when the user gave up.
pub(super) fn ask(app: &App, target: &Target, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    let valid = |name: &str| {
        AgentName::new(name).map_err(|error| error.to_string())?;
        let is_taken = target.manifest.agents().any(|agent| agent.name.as_str() == name);
        if is_taken { Err(format!("the manifest has an agent `{name}` already")) } else { Ok(()) }
    };
    if !ask_profile(app, args, interrupt)? {
        return Ok(false);
    }
    let profile = super::profile(app, args)?;
    let Some(name) = ask_until(app, "name of the agent", offers::name(target, &profile), interrupt, valid)?
    else {
        return Ok(false);
    };
    args.agent = Some(name);
    Ok(ask_bottle(app, target, args, interrupt)?
        && ask_grants(app, target, args, &profile, interrupt)?
        && (profile.skills.is_none() || ask_skills(app, args, interrupt)?)
        && (profile.prompt.is_none() || ask_prompt(app, args, interrupt)?))
}

/// Asks for the agent's program, by its profile.
fn ask_profile(app: &App, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    if args.profile.is_none() {
        let names = app.invocation.profiles().names();
        app.ui.status(&format!("profiles of programs: {}", listed(names.iter().map(String::as_str))));
        let valid = |answer: &str| profile_named(app, answer).map(drop);
        args.profile = ask_until(app, "profile", DEFAULT, interrupt, valid)?;
    }
    Ok(args.profile.is_some())
}

/// Finds a profile, or says which there are.
pub(super) fn profile_named(app: &App, name: &str) -> Result<Arc<Profile>, String> {
    let profiles = app.invocation.profiles();
    profiles.find(name).map_err(|error| match error {
        FindError::Unfit(file, reason) => {
            format!("the profile `{name}` cannot be used: {}: {reason}", file.display())
        }
        FindError::Unknown => {
            let names = profiles.names();
            let all = listed(names.iter().map(String::as_str));
            match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("there is no profile `{name}`; did you mean `{near}`? Profiles: {all}"),
                None => format!("there is no profile `{name}`; profiles: {all}"),
            }
        }
    })
}

fn ask_bottle(app: &App, target: &Target, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    if args.bottle.is_some() {
        return Ok(true);
    }
    let names: Vec<_> = target.manifest.bottles().map(|bottle| bottle.name.as_str()).collect();
    if !names.is_empty() {
        app.ui.status(&format!("bottles: {}", listed(names.iter().copied())));
    }
    let default = if names.is_empty() { FIRST_BOTTLE } else { names[0] };
    let valid = |name: &str| BottleName::new(name).map(drop).map_err(|error| error.to_string());
    args.bottle = ask_until(app, "bottle it runs in", default, interrupt, valid)?;
    Ok(args.bottle.is_some())
}

/// Asks what a new bottle grants. A project's manifest defines none.
fn ask_grants(
    app: &App,
    target: &Target,
    args: &mut Args,
    profile: &Profile,
    interrupt: &Interrupt,
) -> CliResult<bool> {
    if target.here || target.defines(&bottle(target, args)?) {
        return Ok(true);
    }
    Ok(ask_presets(app, args, interrupt)? && ask_token(app, args, profile, interrupt)?)
}

fn ask_presets(app: &App, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    if !args.presets.is_empty() {
        return Ok(true);
    }
    app.ui.status(&format!("presets of hosts: {}", presets::names().collect::<Vec<_>>().join(", ")));
    let offered = offers::presets(app);
    for (preset, file) in &offered {
        app.ui.status(&format!("{file} is here: {} ({})", preset.name, preset.about));
    }
    let default: Vec<_> = offered.iter().map(|(preset, _)| preset.name).collect();
    let default = if default.is_empty() { NONE.to_owned() } else { default.join(", ") };
    let valid = |answer: &str| presets_in(answer).map(drop);
    let question = "presets that it may reach, by commas, or none";
    let Some(answer) = ask_until(app, question, &default, interrupt, valid)? else { return Ok(false) };
    args.presets = presets_in(&answer).unwrap_or_default();
    Ok(true)
}

/// Reads an answer: names of presets, or that there are none.
fn presets_in(answer: &str) -> Result<Vec<&'static Preset>, String> {
    if answer == NONE {
        return Ok(Vec::new());
    }
    let mut found: Vec<&'static Preset> = Vec::new();
    for word in words(answer) {
        let preset =
            offers::preset(word).map_err(|known| format!("`{word}` is not a valid preset; {known}"))?;
        if !found.contains(&preset) {
            found.push(preset);
        }
    }
    Ok(found)
}

fn ask_token(app: &App, args: &mut Args, profile: &Profile, interrupt: &Interrupt) -> CliResult<bool> {
    let tokens = offers::tokens(profile);
    let Some(login) = profile.login.as_ref().filter(|_| !tokens.is_empty()) else { return Ok(true) };
    if args.token.is_some() {
        return Ok(true);
    }
    let set: Vec<_> = tokens.iter().copied().filter(|name| offers::is_set(app, name)).collect();
    match &set[..] {
        [] => app.ui.status(&format!(
            "variables for a token, none of which is set: {}",
            listed(tokens.iter().copied())
        )),
        set => app.ui.status(&format!("variables with a token: {}", listed(set.iter().copied()))),
    }
    let valid = |answer: &str| match tokens.contains(&answer) {
        true => Ok(()),
        false => {
            Err(format!("{} takes its token from one of {}", login.program, listed(tokens.iter().copied())))
        }
    };
    let default = set.first().or(tokens.first()).copied().unwrap_or_default();
    args.token = ask_until(app, "variable with the token", default, interrupt, valid)?;
    Ok(args.token.is_some())
}

fn ask_skills(app: &App, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    let installed = installed_skills(app);
    if !args.skills.is_empty() || installed.is_empty() {
        return Ok(true);
    }
    app.ui.status(&format!("skills that are installed: {}", listed(installed.iter().map(String::as_str))));
    let valid = |text: &str| match words(text).find(|skill| !installed.iter().any(|known| known == skill)) {
        Some(unknown) => Err(format!("there is no skill `{unknown}`")),
        None => Ok(()),
    };
    let Some(answer) = ask_until(app, "skills, by commas (none)", "", interrupt, valid)? else {
        return Ok(false);
    };
    args.skills = words(&answer).map(str::to_owned).collect();
    Ok(true)
}

fn ask_prompt(app: &App, args: &mut Args, interrupt: &Interrupt) -> CliResult<bool> {
    if args.prompt.is_none() {
        args.prompt = app.ui.ask_text("what it is told first, in a line (nothing)", "", interrupt)?;
    }
    Ok(args.prompt.is_some())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|word| !word.is_empty())
}

/// Asks again as long as the answer is not valid.
pub(super) fn ask_until(
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
