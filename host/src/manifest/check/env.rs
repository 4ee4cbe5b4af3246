//! Environment variables: names, and what their values mean. No message here repeats a value.

use zeroize::Zeroizing;

use super::Checker;
use crate::manifest::model::{EnvEntry, EnvName, EnvSource, VariableName};
use crate::manifest::names::NameError;
use crate::manifest::node::{Key, Node, Value};
use crate::manifest::problem::{Problem, ProblemKind};

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<EnvEntry> {
    let mut entries = Vec::new();
    for (key, node) in checker.mapping(node, "`env`").unwrap_or_default() {
        let name = EnvName::new(key.text.clone());
        if let Err(error) = &name {
            bad_name(checker, key, error);
        }
        let source = source(checker, key, node);
        if let (Ok(name), Some(source)) = (name, source) {
            entries.push(EnvEntry { name, source, origin: checker.source.origin(key.span) });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn bad_name(checker: &mut Checker<'_>, key: &Key, error: &NameError) {
    let message = match error {
        NameError::Reserved { .. } => error.to_string(),
        _ => format!("`{}` cannot be the name of a variable: {error}", key.text),
    };
    checker.report(ProblemKind::BadEnvName, key.span, message);
}

pub(super) fn source(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<EnvSource> {
    let name = &key.text;
    let text = match &node.value {
        Value::String(text) => text,
        Value::Refused => return None,
        Value::Null => {
            let message = format!("the variable `{name}` has no value");
            let note = "write \"\" for an empty one, \"?\" for one that is asked for at launch";
            checker.report_with(ProblemKind::WrongType, key.span, message, note);
            return None;
        }
        _ => {
            let message = format!("the value of `{name}` is text, and this is {}", node.describe());
            checker.report_with(ProblemKind::WrongType, key.span, message, "put the value in quotes");
            return None;
        }
    };
    if text.contains('\0') {
        let message = format!("the value of `{name}` holds a NUL character, which no variable can");
        checker.report(ProblemKind::NulCharacter, key.span, message);
        return None;
    }
    if let Some(message) = text.strip_prefix('?') {
        return ask(checker, key, message);
    }
    let Some(variable) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Some(EnvSource::Literal(Zeroizing::new(text.clone())));
    };
    match VariableName::new(variable) {
        Ok(variable) => Some(EnvSource::Host { variable }),
        Err(error) => {
            let message = format!("the value of `{name}` names no variable of the host: {error}");
            let note = "a value `${NAME}` is taken from the host's variable `NAME`; there is no other form";
            checker.report_with(ProblemKind::BadEnvValue, key.span, message, note);
            None
        }
    }
}

/// A question. Its text is shown on the terminal, so it is one line and steers nothing.
fn ask(checker: &mut Checker<'_>, key: &Key, message: &str) -> Option<EnvSource> {
    if message.chars().any(char::is_control) {
        let what = format!("the question for `{}` holds a line break or another control character", key.text);
        let problem = Problem::at(ProblemKind::BadEnvValue, checker.source, key.span, what);
        checker.problems.push(problem.note("a value that begins with `?` is a question, asked at launch"));
        return None;
    }
    let message = message.trim();
    Some(EnvSource::Ask { message: (!message.is_empty()).then(|| message.to_owned()) })
}
