//! Who commits are by, when it is not whom the host's git names.

use super::{Checker, Lines};
use crate::manifest::keys::KEYS;
use crate::manifest::model::GitIdentity;
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::ProblemKind;

const SUBJECT: &str = "`git_identity`";

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> GitIdentity {
    match &node.value {
        Value::String(text) => match text.as_str() {
            "host" => return GitIdentity::Host,
            "none" => return GitIdentity::None,
            other => {
                let message = format!(
                    "`{other}` is not a value of {SUBJECT}: it is `host`, `none`, or a name and an email"
                );
                let note = "write `git_identity: {name: Ada, email: ada@example.com}`";
                checker.report_with(ProblemKind::BadValue, node.span, message, note);
            }
        },
        Value::Mapping(_) => return named(checker, node).unwrap_or_default(),
        _ => checker.wrong_type(node, SUBJECT, "text or a mapping", None),
    }
    GitIdentity::Host
}

fn named(checker: &mut Checker<'_>, node: &Node) -> Option<GitIdentity> {
    let fields = checker.fields(node, SUBJECT, &KEYS.git_identity)?;
    let name = checker.required(&fields, "name", SUBJECT, node.span);
    let email = checker.required(&fields, "email", SUBJECT, node.span);
    let name = name.and_then(|node| word(checker, node, "`name`"));
    let email = email.and_then(|node| word(checker, node, "`email`"));
    Some(GitIdentity::Named { name: name?, email: email? })
}

/// git strips these characters itself, and what is left of `<a@b>` is not what was meant.
fn word(checker: &mut Checker<'_>, node: &Node, subject: &str) -> Option<String> {
    let text = checker.text(node, subject, Lines::One)?;
    if text.contains(['<', '>']) {
        let message = format!("{subject} holds `<` or `>`, which git puts there itself");
        checker.report(ProblemKind::BadValue, node.span, message);
        return None;
    }
    Some(text.to_owned())
}
