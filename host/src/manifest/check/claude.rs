//! What an agent gets of `~/.claude`, by name.

use super::files::missing;
use super::{Checker, Lines};
use crate::manifest::claude_name::ClaudeName;
use crate::manifest::model::ClaudeFile;
use crate::manifest::node::Node;
use crate::manifest::problem::{Problem, ProblemKind};
use crate::manifest::suggest::{listed, nearest};

/// Returns what is named and there.
pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<ClaudeFile> {
    let mut files: Vec<ClaudeFile> = Vec::new();
    for item in checker.list(node, "`claude`").unwrap_or_default() {
        let Some(name) = name(checker, item) else { continue };
        if files.iter().any(|file| file.name == name.as_str()) {
            let message = format!("`{}` is given twice", name.as_str());
            checker.report(ProblemKind::DuplicateKey, item.span, message);
        } else if is_trusted(checker, item, name) {
            files.extend(find(checker, item, name));
        }
    }
    files
}

fn name(checker: &mut Checker<'_>, node: &Node) -> Option<ClaudeName> {
    let text = checker.text(node, "an entry of `claude`", Lines::One)?;
    let all = || ClaudeName::ALL.iter().map(|name| name.as_str());
    let plain = text.trim_start_matches("~/.claude/").trim_end_matches('/');
    let known = ClaudeName::ALL.iter().find(|name| name.as_str() == text);
    if known.is_none() {
        let message = format!("`{text}` is not a file or directory of `~/.claude` that an agent can get");
        let problem = Problem::at(ProblemKind::BadValue, checker.source, node.span, message)
            .did_you_mean(nearest(plain, all()))
            .note(format!("`claude` takes {}; skills are named in `skills`", listed(all())));
        checker.problems.push(problem);
    }
    known.copied()
}

/// Refuses the user's own instructions for an agent of a project's manifest that nobody has read.
fn is_trusted(checker: &mut Checker<'_>, node: &Node, name: ClaudeName) -> bool {
    if checker.confined {
        let message = format!("`{}` of ~/.claude lies outside the project's directory", name.as_str());
        let problem = Problem::at(ProblemKind::OutsideProject, checker.source, node.span, message)
            .note("an agent of a manifest that is not trusted gets nothing of ~/.claude but skills")
            .hint("run `claude-bottle trust` once you have read the project's manifest");
        checker.problems.push(problem);
    }
    !checker.confined
}

fn find(checker: &mut Checker<'_>, node: &Node, name: ClaudeName) -> Option<ClaudeFile> {
    let path = checker.home.join(".claude").join(name.as_str());
    let shown = format!("~/.claude/{}", name.as_str());
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() == name.is_file() && found.is_dir() != name.is_file() => {
            let origin = checker.source.origin(node.span);
            return Some(ClaudeFile { name: name.as_str(), path, origin });
        }
        Ok(_) => {
            let wanted = if name.is_file() { "a file" } else { "a directory" };
            let message = format!("`{shown}` is not {wanted}");
            checker.report(ProblemKind::MissingFile, node.span, message);
        }
        Err(error) => missing(checker, node, "the file or directory", &shown, &error),
    }
    None
}
