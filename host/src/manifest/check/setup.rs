//! Commands that make an agent's bottle ready before it runs.

use std::time::Duration;

use super::{Checker, Lines};
use crate::duration;
use crate::manifest::keys::KEYS;
use crate::manifest::model::SetupStep;
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::ProblemKind;

/// How long a command may take that says nothing of it.
const USUAL_TIME: Duration = Duration::from_secs(30 * 60);
/// The longest that one may take.
const MOST_SECONDS: u64 = 24 * 3600;

/// Returns the commands, in their order.
pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<SetupStep> {
    let mut steps = Vec::new();
    for node in checker.list(node, "`setup`").unwrap_or_default() {
        steps.extend(step(checker, node));
    }
    steps
}

fn step(checker: &mut Checker<'_>, node: &Node) -> Option<SetupStep> {
    let origin = checker.source.origin(node.span);
    let Value::Mapping(_) = node.value else {
        let (command, shown) = command(checker, node)?;
        return Some(SetupStep { command, shown, optional: false, timeout: USUAL_TIME, origin });
    };
    let fields = checker.fields(node, "a command of `setup`", &KEYS.setup)?;
    let run = checker.required(&fields, "run", "this command of `setup`", node.span)?;
    let optional = match fields.get("optional") {
        Some(node) => checker.truth(node, "`optional`")?,
        None => false,
    };
    let timeout = match fields.get("timeout") {
        Some(node) => time(checker, node)?,
        None => USUAL_TIME,
    };
    let (command, shown) = command(checker, run)?;
    Some(SetupStep { command, shown, optional, timeout, origin })
}

/// Returns an argument list and how it is shown: a text is for a shell, a list is run as it is.
fn command(checker: &mut Checker<'_>, node: &Node) -> Option<(Vec<String>, String)> {
    if let Value::Sequence(items) = &node.value {
        let word = |item: &Node| checker.text(item, "an argument of `setup`", Lines::Any).map(str::to_owned);
        let words = items.iter().map(word).collect::<Option<Vec<_>>>()?;
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            checker.report(ProblemKind::BadValue, node.span, "a command of `setup` names no program");
            return None;
        }
        let shown = words.join(" ");
        return Some((words, shown));
    }
    let text = checker.text(node, "a command of `setup`", Lines::Any)?;
    if text.trim().is_empty() {
        checker.report(ProblemKind::BadValue, node.span, "a command of `setup` is blank");
        return None;
    }
    Some((vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()], text.trim().replace('\n', "; ")))
}

/// Returns a time such as `90s`, `10m`, `1h`.
fn time(checker: &mut Checker<'_>, node: &Node) -> Option<Duration> {
    if let Value::Number(_) = node.value {
        let note = "give the unit: `s`, `m` or `h`, such as `90s` or `10m`".to_owned();
        checker.wrong_type(node, "`timeout`", "a number with its unit", Some(note));
        return None;
    }
    let text = checker.text(node, "`timeout`", Lines::One)?;
    let seconds = duration::seconds(text, MOST_SECONDS);
    if seconds.is_none() {
        let message =
            format!("`{text}` is not a valid time: use for example `90s`, `10m` or `1h`, up to `24h`");
        checker.report(ProblemKind::BadValue, node.span, message);
    }
    seconds.map(Duration::from_secs)
}
