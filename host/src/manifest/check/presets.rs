//! Presets of a bottle: each is looked up, and its rules are added to those of the bottle.

use super::{Checker, Lines};
use crate::egress::presets::{self, Preset};
use crate::manifest::model::{BottleName, Egress};
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::{Problem, ProblemKind};

/// Adds the presets that are named, and their rules.
pub(super) fn check(checker: &mut Checker<'_>, bottle: &BottleName, node: &Node, egress: &mut Egress) {
    for node in checker.list(node, "`presets`").unwrap_or_default() {
        let Some(preset) = preset(checker, node) else { continue };
        if egress.presets.contains(&preset) {
            let message = format!("the preset `{}` is given twice", preset.name);
            checker.report(ProblemKind::DuplicateKey, node.span, message);
            continue;
        }
        egress.rules.extend(preset.rules(&format!("bottle {bottle}, {}", checker.source.origin(node.span))));
        egress.presets.push(preset);
    }
}

/// Returns `true` if an entry of the allowlist is `preset: NAME`.
pub(super) fn is_meant(node: &Node) -> bool {
    matches!(&node.value, Value::Mapping(entries) if entries.iter().any(|(key, _)| key.text == "preset"))
}

fn preset(checker: &mut Checker<'_>, node: &Node) -> Option<&'static Preset> {
    let text = checker.text(node, "the name of a preset", Lines::One)?;
    let found = presets::find(text);
    if found.is_none() {
        let message = format!("`{text}` is not a valid preset");
        let problem = Problem::at(ProblemKind::BadValue, checker.source, node.span, message)
            .did_you_mean(presets::meant(text))
            .note(format!("presets: {}", presets::names().collect::<Vec<_>>().join(", ")));
        let is_host = text.contains('.');
        checker.problems.push(if is_host { problem.note("a host goes into `allowlist`") } else { problem });
    }
    found
}
