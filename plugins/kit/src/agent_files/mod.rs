//! Files of the user's own that go into the agent's home: what `~/.claude` has of instructions, commands and settings.
//!
//! What is named may be a link, as home-manager and stow make them: what it leads to comes in its place. A secret never comes:
//! a file that is one is refused, and one in a directory stays out and is named in the plan. Settings come by the list of the
//! agent's profile, see `settings.rs`.

mod programs;
mod settings;
#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

use claude_bottle_plugin_api::{AgentFile, AgentSpec, Failure, FailureKind, Result, Subject};

use crate::home;
use crate::tree::{self, Links, Options, Rules, TreeError};
use crate::workspace::named;
use settings::Settings;

/// The longest text that is read: instructions or settings.
const MAX_TEXT: u64 = 1 << 20;
/// More than any collection of commands needs; stops a sparse file.
const MAX_BYTES: u64 = 64 << 20;
/// Where Claude Code's settings lie in the home: they come by a list, and without a profile by an empty one.
const SETTINGS: &str = ".claude/settings.json";

/// Something that is to be in the agent's home, in place of what is there.
#[derive(Debug)]
pub struct Taken {
    /// Where, relative to the home.
    pub path: String,
    /// What.
    pub content: Content,
}

/// What is to be there.
#[derive(Debug)]
pub enum Content {
    /// A file with these bytes.
    File(Vec<u8>),
    /// A directory of the host.
    Tree(PathBuf, Options),
}

/// Looks at everything, so that what is missing or cannot be copied is refused before anything is made. Returns what a plan
/// says of it.
///
/// # Errors
/// Fails on the first file that could not be copied, and names it.
pub fn survey(agent: &AgentSpec) -> Result<Vec<(&'static str, String)>> {
    let mut facts = Vec::new();
    for file in &agent.files {
        if file.source.is_dir() {
            check_path(file)?;
            let found = tree::survey(&file.source, &options(None)).map_err(|error| refuse(file, error))?;
            let of = |what: String| format!("of ~/{}: {what}", file.path);
            if found.left_out.count > 0 {
                facts.push(("left out", of(format!("{}: may hold secrets", named(&found.left_out)))));
            }
            if found.special.count > 0 {
                facts.push(("not copied", of(format!("{}: no content", named(&found.special)))));
            }
        } else if let Some(list) = list(agent, file) {
            facts.extend(settings_of(agent, file, list)?.facts(&agent.files));
        } else {
            text(file)?;
        }
    }
    Ok(facts)
}

/// Reads everything, for this owner if that is not this process's user.
///
/// # Errors
/// The same as [`survey`]: it may have changed since the plan was made.
pub fn read(agent: &AgentSpec, owner: Option<(u32, u32)>) -> Result<Vec<Taken>> {
    let content = |file: &AgentFile| -> Result<Content> {
        check_path(file)?;
        if file.source.is_dir() {
            return Ok(Content::Tree(file.source.clone(), options(owner)));
        }
        let Some(list) = list(agent, file) else { return Ok(Content::File(text(file)?)) };
        let settings = settings_of(agent, file, list)?;
        Ok(Content::File(settings.text(home::document(agent, &file.path)).into_bytes()))
    };
    agent.files.iter().map(|file| Ok(Taken { path: file.path.clone(), content: content(file)? })).collect()
}

/// Names the file that could not be copied, and what helps.
pub fn refuse(file: &AgentFile, error: TreeError) -> Failure {
    let hint = match &error {
        TreeError::Leaves { .. } => Some("make the link lead to a file or a directory, or remove it"),
        TreeError::LeadsToSecret { .. } => Some("remove it: what is copied in is read by the agent, whole"),
        _ => None,
    };
    let failure = Failure::from(error).context(format!("cannot copy `~/{}`", file.path)).about(subject(file));
    hint.into_iter().fold(failure, Failure::hint)
}

fn options(owner: Option<(u32, u32)>) -> Options {
    Options {
        owner,
        links: Links::Follow,
        exclude: Default::default(),
        rules: Rules::Workspace { index: None, data: None },
        max_bytes: MAX_BYTES,
    }
}

fn text(file: &AgentFile) -> Result<Vec<u8>> {
    check_path(file)?;
    tree::read_file(&file.source, MAX_TEXT).map_err(|error| refuse(file, error))
}

/// Returns the settings that may come along of a file, if it is one of settings.
fn list<'a>(agent: &'a AgentSpec, file: &AgentFile) -> Option<&'a [String]> {
    let own = agent.profile.as_ref().and_then(|profile| profile.own_settings.as_ref());
    let own = own.filter(|own| own.path == file.path).map(|own| own.keep.as_slice());
    own.or_else(|| (file.path == SETTINGS).then_some(&[][..]))
}

fn settings_of(agent: &AgentSpec, file: &AgentFile, list: &[String]) -> Result<Settings> {
    let profile = home::document(agent, &file.path);
    Settings::parse(&text(file)?, list, &profile).map_err(|reason| {
        let message = format!("`~/{}` cannot be understood: {reason}", file.path);
        Failure::new(FailureKind::Invalid, message).about(subject(file))
    })
}

/// Refuses a place that is not below `~/.claude`: what a shell or git reads at its start is not for a list of files.
fn check_path(file: &AgentFile) -> Result<()> {
    let mut parts = Path::new(&file.path).components();
    let is_below = parts.next() == Some(Component::Normal(".claude".as_ref()));
    let rest: Vec<_> = parts.collect();
    if is_below && !rest.is_empty() && rest.iter().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    let message =
        format!("`{}` is not a place below `.claude` in the agent's home", file.path.escape_default());
    Err(Failure::new(FailureKind::Invalid, message).about(subject(file)))
}

fn subject(file: &AgentFile) -> Subject {
    Subject::File(file.path.clone())
}
