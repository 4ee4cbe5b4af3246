//! Settings for backends. Only a backend knows its own, so here it is checked that they have the form of settings.

use serde_json::{Map, Number, Value as Json};

use super::Checker;
use crate::manifest::model::BackendOption;
use crate::manifest::names::check_slug;
use crate::manifest::node::{Key, Node, Value};
use crate::manifest::problem::ProblemKind;

/// Longest name of a setting.
const MAX_NAME: usize = 41;

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<BackendOption> {
    let mut options = Vec::new();
    for (key, node) in checker.mapping(node, "`options`").unwrap_or_default() {
        if let Err(error) = check_slug(&key.text) {
            checker.bad_name(key.span, "a backend", &key.text, &error);
            continue;
        }
        let subject = format!("`options` of backend `{}`", key.text);
        for (name, node) in checker.mapping(node, &subject).unwrap_or_default() {
            options.extend(option(checker, &key.text, name, node));
        }
    }
    options
}

fn option(checker: &mut Checker<'_>, backend: &str, key: &Key, node: &Node) -> Option<BackendOption> {
    let name = key.text.clone();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
        let message = format!("`{name}` cannot be the name of an option");
        let note = "a name has lower-case letters, digits and underscores";
        checker.report_with(ProblemKind::BadName, key.span, message, note);
        return None;
    }
    let value = json(checker, &format!("the option `{name}`"), node)?;
    let origin = checker.source.origin(key.span);
    Some(BackendOption { backend: backend.to_owned(), name, value, origin })
}

/// Returns a value as it crosses to the backend.
pub(super) fn json(checker: &mut Checker<'_>, subject: &str, node: &Node) -> Option<Json> {
    match &node.value {
        Value::Null => {
            checker.wrong_type(node, subject, "a value", None);
            None
        }
        Value::Refused => None,
        Value::Bool(value) => Some(Json::Bool(*value)),
        Value::String(text) if text.contains('\0') => {
            let message = format!("{subject} holds a NUL character");
            checker.report(ProblemKind::NulCharacter, node.span, message);
            None
        }
        Value::String(text) => Some(Json::String(text.clone())),
        Value::Number(text) => number(checker, subject, node, text),
        Value::Sequence(items) => {
            items.iter().map(|item| json(checker, subject, item)).collect::<Option<_>>().map(Json::Array)
        }
        Value::Mapping(entries) => {
            let entry = |(key, node): &(Key, Node)| Some((key.text.clone(), json(checker, subject, node)?));
            entries.iter().map(entry).collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}

fn number(checker: &mut Checker<'_>, subject: &str, node: &Node, text: &str) -> Option<Json> {
    let whole = text.parse::<i64>().map(Number::from).ok();
    let number = whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
    if number.is_none() {
        let message = format!("{subject} is `{text}`, which is not a number that can be passed on");
        checker.report(ProblemKind::BadValue, node.span, message);
    }
    number.map(Json::Number)
}
