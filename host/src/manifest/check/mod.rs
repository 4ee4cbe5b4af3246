//! Nodes to checked types. Everything that is wrong is reported, and what is left is checked all the same.

mod agent;
mod bottle;
mod claude;
mod defaults;
mod egress;
mod env;
mod files;
mod forward;
mod git;
mod intercept;
mod limits;
mod mcp;
mod options;
mod presets;
mod profile;
mod secrets;
mod setup;
mod ssh;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::keys::KEYS;
use super::model::{Agent, AgentName, Bottle, BottleName};
use super::names::{NameError, slugified};
use super::node::{Key, Node, Value};
use super::problem::{Problem, ProblemKind, Problems};
use super::source::{Source, Span};
use super::suggest::{listed, nearest};
use crate::profile::Profiles;

pub(crate) use defaults::check as defaults;
pub(crate) use files::{open_regular, reason};
pub(crate) use secrets::obstacle;

/// What one file defines.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) bottles: BTreeMap<BottleName, Bottle>,
    pub(crate) agents: BTreeMap<AgentName, Agent>,
    /// Names of all bottles, defective ones included.
    pub(crate) bottle_names: BTreeSet<BottleName>,
    /// Where the file begins to define bottles.
    pub(crate) bottles_at: Option<Span>,
    /// The bottles that agents name, which can be judged only once all files are read.
    pub(crate) uses: Vec<Use>,
}

/// An agent's bottle, by name.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) agent: AgentName,
    /// `None` when the agent names none.
    pub(crate) bottle: Option<BottleName>,
    pub(crate) span: Span,
}

/// What the checks work with.
pub(crate) struct Checker<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: &'a mut Problems,
    pub(crate) home: &'a Path,
    pub(crate) profiles: &'a Profiles,
    /// The directory of the manifest, which relative paths begin at.
    pub(crate) directory: &'a Path,
    /// Whether files the manifest names have to lie in its directory.
    pub(crate) confined: bool,
}

/// Checks a whole file.
pub(crate) fn document(checker: &mut Checker<'_>, root: &Node) -> Part {
    let mut part = Part::default();
    let Some(fields) = checker.fields(root, "the manifest", &KEYS.document) else { return part };
    if let Some((key, node)) = fields.entry("bottles") {
        for (name_key, node) in checker.mapping(node, "`bottles`").unwrap_or_default() {
            part.bottles_at.get_or_insert(key.span);
            let Some(name) = checker.slug(name_key, "a bottle", BottleName::new) else { continue };
            part.bottle_names.insert(name.clone());
            if let Some(bottle) = bottle::check(checker, name.clone(), name_key, node) {
                part.bottles.insert(name, bottle);
            }
        }
    }
    if let Some(node) = fields.get("agents") {
        for (name_key, node) in checker.mapping(node, "`agents`").unwrap_or_default() {
            let Some(name) = checker.slug(name_key, "an agent", AgentName::new) else { continue };
            let before = checker.problems.count();
            let (agent, used) = agent::check(checker, &name, name_key, node);
            checker.problems.blame(before, &name);
            part.uses.extend(used);
            if let Some(agent) = agent {
                part.agents.insert(name, agent);
            }
        }
    }
    part
}

/// The entries of a mapping whose keys are known.
pub(crate) struct Fields<'n> {
    key: Span,
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// Returns the value of a key.
    fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node)
    }

    fn entry(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(key, node)| (key, node))
    }
}

impl Checker<'_> {
    fn report(&mut self, kind: ProblemKind, span: Span, message: impl Into<String>) {
        let problem = Problem::at(kind, self.source, span, message);
        self.problems.push(problem);
    }

    fn report_with(&mut self, kind: ProblemKind, span: Span, message: String, note: impl Into<String>) {
        let problem = Problem::at(kind, self.source, span, message).note(note);
        self.problems.push(problem);
    }

    /// Returns whether something is so.
    fn truth(&mut self, node: &Node, subject: &str) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.wrong_type(node, subject, "`true` or `false`", None);
        None
    }

    fn wrong_type(&mut self, node: &Node, subject: &str, wanted: &str, note: Option<String>) {
        if node.is_refused() {
            return;
        }
        let message = match node.value {
            Value::Null => format!("{subject} takes {wanted}, and there is nothing here"),
            _ => format!("{subject} takes {wanted}, and this is {}", node.describe()),
        };
        let problem = Problem::at(ProblemKind::WrongType, self.source, node.span, message);
        self.problems.push(match note {
            Some(note) => problem.note(note),
            None => problem,
        });
    }

    fn mapping<'n>(&mut self, node: &'n Node, subject: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Mapping(entries) => Some(entries),
            Value::Null => {
                self.wrong_type(node, subject, "a mapping", Some("write `{}` for an empty one".to_owned()));
                None
            }
            _ => {
                self.wrong_type(node, subject, "a mapping", None);
                None
            }
        }
    }

    fn list<'n>(&mut self, node: &'n Node, subject: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::Sequence(items) => Some(items),
            Value::Null => {
                self.wrong_type(node, subject, "a list", Some("write `[]` for an empty one".to_owned()));
                None
            }
            Value::String(text) => {
                let note = format!("write `[{text}]` for a list of one");
                self.wrong_type(node, subject, "a list", Some(note));
                None
            }
            _ => {
                self.wrong_type(node, subject, "a list", None);
                None
            }
        }
    }

    /// Returns text that is not empty and holds no control characters but, if `lines` says so, tabs and line breaks.
    fn text<'n>(&mut self, node: &'n Node, subject: &str, lines: Lines) -> Option<&'n str> {
        let text = match &node.value {
            Value::String(text) => text,
            Value::Number(text) => {
                let note = format!("write \"{text}\" if it is meant as text");
                self.wrong_type(node, subject, "text", Some(note));
                return None;
            }
            _ => {
                self.wrong_type(node, subject, "text", None);
                return None;
            }
        };
        if text.contains('\0') {
            self.report(ProblemKind::NulCharacter, node.span, format!("{subject} holds a NUL character"));
            return None;
        }
        if lines == Lines::One && text.trim().is_empty() {
            self.report(ProblemKind::BadValue, node.span, format!("{subject} is blank"));
            return None;
        }
        if lines == Lines::One && text.chars().any(char::is_control) {
            let message = format!("{subject} holds a line break or another control character");
            self.report(ProblemKind::BadValue, node.span, message);
            return None;
        }
        Some(text)
    }

    /// Returns the entries of a mapping, and reports those whose key is not known.
    fn fields<'n>(&mut self, node: &'n Node, subject: &str, known: &[String]) -> Option<Fields<'n>> {
        let entries = self.mapping(node, subject)?;
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text)) {
            self.unknown_key(key, subject, known);
        }
        Some(Fields { key: node.span, entries })
    }

    fn unknown_key(&mut self, key: &Key, subject: &str, known: &[String]) {
        let at = |kind, message: String| Problem::at(kind, self.source, key.span, message);
        let problem = if key.text == "runtime" {
            at(ProblemKind::RuntimeKey, "`runtime` is not a key any more: the runtime is detected".to_owned())
                .note("the docker backend uses gVisor (`runsc`) whenever the engine has it; remove this line")
                .hint("run `claude-bottle doctor` to see which runtime is used")
        } else {
            let names = || known.iter().map(String::as_str);
            at(ProblemKind::UnknownKey, format!("unknown key `{}` in {subject}", key.text))
                .did_you_mean(nearest(&key.text, names()))
                .note(format!("known keys: {}", listed(names())))
        };
        self.problems.push(problem);
    }

    /// Returns the value of a key that has to be there.
    fn required<'n>(&mut self, fields: &Fields<'n>, name: &str, subject: &str, at: Span) -> Option<&'n Node> {
        let node = fields.get(name);
        if node.is_none() {
            let span =
                if at == fields.key { fields.entries.first().map_or(at, |(key, _)| key.span) } else { at };
            self.report(ProblemKind::MissingKey, span, format!("{subject} has no `{name}`"));
        }
        node
    }

    /// Returns the name of an agent or a bottle.
    fn slug<T>(&mut self, key: &Key, what: &str, make: fn(String) -> Result<T, NameError>) -> Option<T> {
        make(key.text.clone()).map_err(|error| self.bad_name(key.span, what, &key.text, &error)).ok()
    }

    fn bad_name(&mut self, span: Span, what: &str, text: &str, error: &NameError) {
        let message = format!("`{text}` cannot be the name of {what}: {error}");
        let problem = Problem::at(ProblemKind::BadName, self.source, span, message);
        let near = slugified(text).filter(|slug| slug != text);
        self.problems.push(match near {
            Some(slug) => problem.note(format!("write `{slug}`")),
            None => problem,
        });
    }
}

/// Whether a text may have several lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Any,
}
