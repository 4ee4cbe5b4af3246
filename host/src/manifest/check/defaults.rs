//! The keys of the user's defaults.

use super::{Checker, Lines, secrets};
use crate::manifest::defaults::Defaults;
use crate::manifest::names::check_slug;
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::ProblemKind;

const KEYS: [&str; 7] = ["backend", "yes", "editor", "survive", "detach_keys", "notify", "token"];

/// Checks a whole file; one that holds nothing sets nothing.
pub(crate) fn check(checker: &mut Checker<'_>, root: &Node) -> Defaults {
    if root.value == Value::Null {
        return Defaults::default();
    }
    let Some(fields) = checker.fields(root, "the defaults", &KEYS.map(str::to_owned)) else {
        return Defaults::default();
    };
    let mut text = |key: &str| {
        let node = fields.get(key)?;
        Some((node, checker.text(node, &format!("`{key}`"), Lines::One)?.to_owned()))
    };
    let (backend, editor) = (text("backend"), text("editor").map(|(_, text)| text));
    let (notify, keys) = (text("notify").map(|(_, text)| text), text("detach_keys"));
    let backend = backend.and_then(|(node, name)| match check_slug(&name) {
        Ok(()) => Some(name),
        Err(error) => {
            checker.bad_name(node.span, "a backend", &name, &error);
            None
        }
    });
    let detach_keys = keys.and_then(|(node, keys)| match keys.parse() {
        Ok(keys) => Some(keys),
        Err(message) => {
            checker.report(ProblemKind::BadValue, node.span, message);
            None
        }
    });
    let [yes, survive] = ["yes", "survive"]
        .map(|key| fields.get(key).and_then(|node| checker.truth(node, &format!("`{key}`"))))
        .map(Option::unwrap_or_default);
    let token = fields.entry("token").and_then(|(key, node)| secrets::token(checker, key, node));
    Defaults { backend, yes, editor, survive, detach_keys, notify, token }
}
