//! An agent: its bottle's name, skills, prompt and command.

use std::path::{Component, PathBuf};

use super::{Checker, Fields, Lines, Use, claude, files, mcp, profile, setup};
use crate::manifest::keys::KEYS;
use crate::manifest::model::{Agent, AgentName, BottleName, Skill, SkillName};
use crate::manifest::node::{Key, Node, Value};
use crate::manifest::problem::{Problem, ProblemKind};
use crate::manifest::suggest::listed;

/// Characters of a shell, which nothing here interprets.
const SHELL: &[char] = &[
    '"', '\'', '\\', '$', '`', '|', '&', ';', '<', '>', '(', ')', '*', '?', '[', ']', '{', '}', '#', '~', '!',
];

/// Returns the agent if nothing is wrong with it, and which bottle it names if what it names is a name.
pub(super) fn check(
    checker: &mut Checker<'_>,
    name: &AgentName,
    key: &Key,
    node: &Node,
) -> (Option<Agent>, Option<Use>) {
    let subject = format!("agent `{name}`");
    let Some(fields) = checker.fields(node, &subject, &KEYS.agent) else { return (None, None) };
    let used = match fields.get("bottle") {
        Some(node) => bottle_name(checker, node).map(|bottle| (Some(bottle), node.span)),
        None => Some((None, key.span)),
    };
    let profile = profile::check(checker, &fields, key.span);
    let skills = fields.get("skills").map(|node| skills(checker, node)).unwrap_or_default();
    let claude = fields.get("claude").map(|node| claude::check(checker, node)).unwrap_or_default();
    let history = fields.get("history").map(|node| history(checker, node));
    let (prompt, prompt_file) = prompt(checker, &fields, &subject);
    let command = match fields.get("command") {
        Some(node) => command(checker, node),
        None => profile.as_ref().map(|profile| profile.command.clone()),
    };
    let setup = fields.get("setup").map(|node| setup::check(checker, node)).unwrap_or_default();
    let survive = fields.get("survive").and_then(|node| checker.truth(node, "`survive`"));
    let settings = fields.get("settings").map(|node| profile::settings(checker, node)).unwrap_or_default();
    let (mcp, rules) = fields.get("mcp").map(|node| mcp::check(checker, name, node)).unwrap_or_default();
    if let Some(profile) = &profile {
        profile::check_known(checker, &fields, profile);
    }
    let origin = checker.source.origin(key.span);
    let used = used.map(|(bottle, span)| Use { agent: name.clone(), bottle, span });
    let bottle = used.as_ref().and_then(|used| used.bottle.clone());
    let agent = bottle.zip(command).zip(profile).map(|((bottle, command), profile)| Agent {
        name: name.clone(),
        bottle,
        skills,
        claude,
        history,
        profile,
        settings,
        mcp,
        rules,
        setup,
        survive,
        prompt,
        prompt_file,
        command,
        origin,
    });
    (agent, used)
}

/// Returns the paths below the home in which the agent keeps its sessions.
fn history(checker: &mut Checker<'_>, node: &Node) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for item in checker.list(node, "`history`").unwrap_or_default() {
        let Some(text) = checker.text(item, "an entry of `history`", Lines::One) else { continue };
        let path = PathBuf::from(text.trim_start_matches("~/"));
        let is_below = path.components().all(|part| matches!(part, Component::Normal(_)))
            && path.components().next().is_some();
        if is_below {
            paths.push(path);
        } else {
            let message = format!("`{text}` is not a path below the agent's home");
            checker.report_with(ProblemKind::BadValue, item.span, message, "write it as .codex/sessions");
        }
    }
    paths
}

/// Returns the prompt, and the file it came from.
fn prompt(checker: &mut Checker<'_>, fields: &Fields<'_>, subject: &str) -> (String, Option<PathBuf>) {
    if let (Some((first, _)), Some((second, _))) = (fields.entry("prompt"), fields.entry("prompt_file")) {
        let later = if first.span.start < second.span.start { second } else { first };
        let message = format!("{subject} has both `prompt` and `prompt_file`");
        checker.report_with(ProblemKind::Conflict, later.span, message, "keep one of the two");
    }
    let prompt = fields.get("prompt").and_then(|node| checker.text(node, "`prompt`", Lines::Any));
    let from_file = fields.get("prompt_file").and_then(|node| {
        let text = checker.text(node, "`prompt_file`", Lines::One)?;
        files::prompt(checker, node, text)
    });
    match from_file {
        Some((prompt, path)) => (prompt, Some(path)),
        None => (prompt.unwrap_or_default().to_owned(), None),
    }
}

fn bottle_name(checker: &mut Checker<'_>, node: &Node) -> Option<BottleName> {
    let text = checker.text(node, "`bottle`", Lines::One)?;
    BottleName::new(text).map_err(|error| checker.bad_name(node.span, "a bottle", text, &error)).ok()
}

fn skills(checker: &mut Checker<'_>, node: &Node) -> Vec<Skill> {
    let mut skills: Vec<Skill> = Vec::new();
    for node in checker.list(node, "`skills`").unwrap_or_default() {
        let Some(text) = checker.text(node, "the name of a skill", Lines::One) else { continue };
        let name = match SkillName::new(text) {
            Ok(name) => name,
            Err(error) => {
                let message = format!("`{text}` cannot be the name of a skill: {error}");
                checker.report(ProblemKind::BadName, node.span, message);
                continue;
            }
        };
        if skills.iter().any(|skill| skill.name == name) {
            checker.report(
                ProblemKind::DuplicateKey,
                node.span,
                format!("the skill `{name}` is given twice"),
            );
            continue;
        }
        if let Some(directory) = files::skill(checker, node, name.as_str()) {
            skills.push(Skill { name, directory });
        }
    }
    skills
}

pub(super) fn command(checker: &mut Checker<'_>, node: &Node) -> Option<Vec<String>> {
    let words = match &node.value {
        Value::Sequence(items) => {
            let words = items.iter().map(|item| argument(checker, item)).collect::<Option<Vec<String>>>()?;
            if words.first().is_none_or(|program| program.trim().is_empty()) {
                checker.report(ProblemKind::BadValue, node.span, "`command` names no program");
                return None;
            }
            words
        }
        _ => line(checker, node)?,
    };
    Some(words)
}

fn argument(checker: &mut Checker<'_>, node: &Node) -> Option<String> {
    checker.text(node, "an argument of `command`", Lines::Any).map(str::to_owned)
}

fn line(checker: &mut Checker<'_>, node: &Node) -> Option<Vec<String>> {
    if matches!(node.value, Value::Null | Value::Mapping(_)) {
        checker.wrong_type(node, "`command`", "text or a list", None);
        return None;
    }
    let text = checker.text(node, "`command`", Lines::One)?;
    if let Some(character) = text.chars().find(|c| SHELL.contains(c)) {
        let message = format!("`command` holds `{character}`, and no shell reads it");
        let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
        let problem = Problem::at(ProblemKind::BadValue, checker.source, node.span, message).note(format!(
            "write program and arguments as a list: [{}]",
            listed(words.iter().map(String::as_str))
        ));
        checker.problems.push(problem);
        return None;
    }
    Some(text.split_whitespace().map(str::to_owned).collect())
}
