//! What is known of an agent's program: the profile that the agent names, and what it says that its program does not know.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::options::json;
use super::{Checker, Fields, Lines};
use crate::manifest::node::{Key, Node};
use crate::manifest::problem::{Problem, ProblemKind};
use crate::manifest::source::Span;
use crate::manifest::suggest::{listed, nearest};
use crate::profile::{DEFAULT, FindError, Profile, Profiles};

/// Returns the profile of an agent, which stands at `at`.
pub(super) fn check(checker: &mut Checker<'_>, fields: &Fields<'_>, at: Span) -> Option<Arc<Profile>> {
    let Some(node) = fields.get("profile") else { return find(checker, at, DEFAULT) };
    let name = checker.text(node, "`profile`", Lines::One)?;
    let profile = find(checker, node.span, name)?;
    is_trusted(checker, node, &profile).then_some(profile)
}

fn find(checker: &mut Checker<'_>, span: Span, name: &str) -> Option<Arc<Profile>> {
    let at = |message: String| Problem::at(ProblemKind::BadValue, checker.source, span, message);
    let problem = match checker.profiles.find(name) {
        Ok(profile) => return Some(profile),
        Err(FindError::Unknown) => {
            let names = checker.profiles.names();
            at(format!("there is no profile `{name}`"))
                .did_you_mean(nearest(name, names.iter().map(String::as_str)))
                .note(format!("profiles: {}", listed(names.iter().map(String::as_str))))
        }
        Err(FindError::Unfit(file, reason)) => {
            at(format!("the profile `{name}` cannot be used")).note(format!("{}: {reason}", file.display()))
        }
    };
    checker.problems.push(problem);
    None
}

/// Refuses a profile that would open hosts, for an agent of a project's manifest that was not trusted: its bottle is the user's.
fn is_trusted(checker: &mut Checker<'_>, node: &Node, profile: &Profile) -> bool {
    let usual = Profiles::ours().rules();
    let more =
        profile.rules().into_iter().find(|rule| !usual.iter().any(|known| known.pattern() == rule.pattern()));
    let Some(more) = more.filter(|_| checker.confined) else { return true };
    let message =
        format!("the profile `{}` opens `{more}` in a bottle that is not the project's", profile.name);
    let problem = Problem::at(ProblemKind::OutsideProject, checker.source, node.span, message)
        .note(format!("an agent of a manifest that is not trusted has the hosts of `{DEFAULT}` at most"))
        .hint("run `claude-bottle trust` once you have read the project's manifest");
    checker.problems.push(problem);
    false
}

/// Returns the settings of an agent.
pub(super) fn settings(checker: &mut Checker<'_>, node: &Node) -> Map<String, Json> {
    let entries = checker.mapping(node, "`settings`").unwrap_or_default();
    let entry = |(key, node): &(Key, Node)| {
        Some((key.text.clone(), json(checker, &format!("the setting `{}`", key.text), node)?))
    };
    entries.iter().filter_map(entry).collect()
}

/// Reports what an agent says that its program has no place for.
pub(super) fn check_known(checker: &mut Checker<'_>, fields: &Fields<'_>, profile: &Profile) {
    let known = [
        ("settings", profile.settings.is_some(), "takes no settings from claude-bottle"),
        ("mcp", profile.mcp.is_some(), "knows no servers of tools"),
        ("skills", profile.skills.is_some(), "knows no skills"),
    ];
    for (key, _, reason) in known.into_iter().filter(|(_, is_known, _)| !is_known) {
        if let Some((key, _)) = fields.entry(key) {
            let message = format!("`{}` is not for the profile `{}`, which {reason}", key.text, profile.name);
            checker.report(ProblemKind::BadValue, key.span, message);
        }
    }
    let prompt = fields.entry("prompt").or_else(|| fields.entry("prompt_file"));
    if let Some((key, _)) = prompt.filter(|_| profile.prompt.is_none()) {
        let message = format!("`{}` is not for the profile `{}`, which takes none", key.text, profile.name);
        checker.report(ProblemKind::BadValue, key.span, message);
    }
}
