//! Servers of tools that an agent is given: a program in its bottle, or one elsewhere, whose host its bottle may reach then.

use std::collections::BTreeMap;

use claude_bottle_egress_policy::Rule;

use super::{Checker, Fields, Lines, agent};
use crate::manifest::keys::KEYS;
use crate::manifest::model::{AgentName, EnvName};
use crate::manifest::names::check_slug;
use crate::manifest::node::{Key, Node};
use crate::manifest::problem::{Problem, ProblemKind};
use crate::profile::{Server, Transport};

/// What is before the variable in the value of a header.
const BEFORE: [&str; 2] = ["", "Bearer "];

/// Returns the servers, and rules for those elsewhere.
pub(super) fn check(checker: &mut Checker<'_>, name: &AgentName, node: &Node) -> (Vec<Server>, Vec<Rule>) {
    let (mut servers, mut rules) = (Vec::new(), Vec::new());
    for (key, node) in checker.mapping(node, "`mcp`").unwrap_or_default() {
        if let Err(error) = check_slug(&key.text) {
            checker.bad_name(key.span, "a server", &key.text, &error);
            continue;
        }
        let Some(transport) = transport(checker, name, key, node, &mut rules) else { continue };
        let origin = checker.source.origin(key.span).to_string();
        servers.push(Server { name: key.text.clone(), origin, transport });
    }
    (servers, rules)
}

fn transport(
    checker: &mut Checker<'_>,
    name: &AgentName,
    key: &Key,
    node: &Node,
    rules: &mut Vec<Rule>,
) -> Option<Transport> {
    let subject = format!("server `{}`", key.text);
    let fields = checker.fields(node, &subject, &KEYS.mcp)?;
    match (fields.entry("command"), fields.entry("url")) {
        (Some((_, command)), None) => {
            absent(checker, &fields, "headers", "`headers` is for a server with `url`");
            let env = fields.get("env").map(|node| variables(checker, node)).unwrap_or_default();
            Some(Transport::Stdio { command: agent::command(checker, command)?, env })
        }
        (None, Some((_, node))) => {
            absent(checker, &fields, "env", "`env` is for a server with `command`");
            let (url, rule) = url(checker, name, node)?;
            let headers = fields.get("headers").map(|node| headers(checker, node)).unwrap_or_default();
            rules.push(rule);
            Some(Transport::Http { url, headers })
        }
        (one, _) => {
            let span = one.map_or(key.span, |(key, _)| key.span);
            let both = if one.is_some() { "both" } else { "neither" };
            let message = format!("{subject} has {both} `command` and `url`");
            let message = message.replace("neither `command` and", "neither `command` nor");
            checker.report_with(ProblemKind::BadValue, span, message, "a server has one of the two");
            None
        }
    }
}

fn absent(checker: &mut Checker<'_>, fields: &Fields<'_>, key: &str, message: &str) {
    if let Some((key, _)) = fields.entry(key) {
        checker.report(ProblemKind::BadValue, key.span, message);
    }
}

fn variables(checker: &mut Checker<'_>, node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    for node in checker.list(node, "`env` of a server").unwrap_or_default() {
        let Some(text) = checker.text(node, "the name of a variable", Lines::One) else { continue };
        names.extend(variable(checker, node, text));
    }
    names
}

fn variable(checker: &mut Checker<'_>, node: &Node, text: &str) -> Option<String> {
    match EnvName::new(text) {
        Ok(name) => Some(name.to_string()),
        Err(error) => {
            let message = format!("`{text}` cannot be the name of a variable: {error}");
            let note = "a server gets variables of its bottle's `env`, by their names";
            checker.report_with(ProblemKind::BadEnvName, node.span, message, note);
            None
        }
    }
}

/// Returns a server's address, and the rule for its host.
fn url(checker: &mut Checker<'_>, name: &AgentName, node: &Node) -> Option<(String, Rule)> {
    let text = checker.text(node, "`url`", Lines::One)?;
    let rest = [("https://", "443"), ("http://", "80")];
    let rest = rest.into_iter().find_map(|(scheme, port)| Some((text.strip_prefix(scheme)?, port)));
    let origin = format!("mcp of agent {name}, {}", checker.source.origin(node.span));
    let rule = rest.and_then(|(rest, port)| {
        let authority = rest.split(['/', '?', '#']).next().filter(|host| !host.contains(['@', '*', ' ']))?;
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let target = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        Rule::parse(&target, origin).ok()
    });
    let Some(rule) = rule else {
        // One with a user may hold a password.
        let message = "this is not a valid address of a server".to_owned();
        checker.report_with(ProblemKind::BadValue, node.span, message, "write it as https://HOST/PATH");
        return None;
    };
    if checker.confined {
        let message = format!("a server at `{rule}` opens it in a bottle that is not the project's");
        let problem = Problem::at(ProblemKind::OutsideProject, checker.source, node.span, message)
            .hint("run `claude-bottle trust` once you have read the project's manifest");
        checker.problems.push(problem);
        return None;
    }
    Some((text.to_owned(), rule))
}

fn headers(checker: &mut Checker<'_>, node: &Node) -> BTreeMap<String, (String, String)> {
    let mut headers = BTreeMap::new();
    for (key, node) in checker.mapping(node, "`headers`").unwrap_or_default() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if key.text.is_empty() || !key.text.chars().all(is_name) {
            checker.report(ProblemKind::BadName, key.span, format!("`{}` is not a valid header", key.text));
            continue;
        }
        let Some(text) = checker.text(node, "a header", Lines::One) else { continue };
        let value = BEFORE.into_iter().find_map(|before| {
            Some((before, text.strip_prefix(before)?.strip_prefix("${")?.strip_suffix('}')?))
        });
        let Some((before, name)) = value else {
            let message = format!("the value of the header `{}` is not a variable of the bottle", key.text);
            let note = "write `${NAME}` or `Bearer ${NAME}`, with a variable of the bottle's `env`";
            checker.report_with(ProblemKind::BadValue, key.span, message, note);
            continue;
        };
        let Some(name) = variable(checker, node, name) else { continue };
        headers.insert(key.text.clone(), (before.to_owned(), name));
    }
    headers
}
