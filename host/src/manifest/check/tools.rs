//! Tools of this machine. Which places hold secrets, and are granted to nobody, the backend knows that mounts them.

use std::path::{Component, PathBuf};

use super::{Checker, Lines, files};
use crate::manifest::model::Tool;
use crate::manifest::node::Node;
use crate::manifest::problem::ProblemKind;

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<Tool> {
    let items = checker.list(node, "`tools`").unwrap_or_default();
    items.iter().filter_map(|item| tool(checker, item)).collect()
}

fn tool(checker: &mut Checker<'_>, node: &Node) -> Option<Tool> {
    let text = checker.text(node, "an entry of `tools`", Lines::One)?;
    if !text.starts_with('/') && !text.starts_with("~/") {
        let message = format!("`{text}` in `tools` is not an absolute path");
        let note = "write a directory of this machine as `~/.rustup` or `/opt/tool`";
        checker.report_with(ProblemKind::BadValue, node.span, message, note);
        return None;
    }
    let path: PathBuf = files::expand(checker, node, text)?.components().collect();
    if path.components().any(|part| part == Component::ParentDir) {
        let message = format!("`{text}` in `tools` contains `..`");
        checker.report(ProblemKind::BadValue, node.span, message);
        return None;
    }
    match path.metadata() {
        Ok(_) => Some(Tool { path, origin: checker.source.origin(node.span) }),
        Err(error) => {
            files::missing(checker, node, "`tools`:", text, &error);
            None
        }
    }
}
