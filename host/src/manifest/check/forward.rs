//! Ports inside that lead to one host each, for clients that know no proxy, such as those of databases.

use claude_bottle_egress_policy::{Authority, Scheme};

use super::{Checker, Lines};
use crate::egress::effective_policy;
use crate::manifest::model::{Bottle, Forward};
use crate::manifest::node::Node;
use crate::manifest::problem::ProblemKind;
use crate::manifest::source::Span;

/// The lowest port: those below belong to root, inside as outside.
const LOWEST: u16 = 1024;

/// Reads the entries, `PORT:HOST:PORT` as ssh has them, each with its place.
pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<(Forward, Span)> {
    let mut forwards: Vec<(Forward, Span)> = Vec::new();
    for node in checker.list(node, "`forward`").unwrap_or_default() {
        let Some(forward) = entry(checker, node) else { continue };
        if forwards.iter().any(|(known, _)| known.port == forward.port) {
            let message = format!("the port `{}` is given twice", forward.port);
            checker.report(ProblemKind::DuplicateKey, node.span, message);
            continue;
        }
        forwards.push((forward, node.span));
    }
    forwards
}

/// Reports what no rule of the bottle allows: it would lead nowhere.
pub(super) fn check_allowed(checker: &mut Checker<'_>, bottle: &Bottle, places: &[Span]) {
    let Ok(policy) = effective_policy(None, bottle) else { return };
    for (forward, span) in bottle.forward.iter().zip(places) {
        let decision = policy.decide(&forward.to.host, forward.to.port, Scheme::Connect);
        if !decision.is_allowed() {
            let message = format!("`forward` leads to `{}`, which no rule allows", forward.to);
            let note = format!("add `{}` to `egress.allowlist` of this bottle", forward.to);
            checker.report_with(ProblemKind::BadValue, *span, message, note);
        }
    }
}

fn entry(checker: &mut Checker<'_>, node: &Node) -> Option<Forward> {
    let text = checker.text(node, "a forwarded port", Lines::One)?;
    let (port, to) = text.split_once(':').unwrap_or((text, ""));
    let problem = match (port.parse::<u16>(), to.parse::<Authority>()) {
        (Ok(port), Ok(to)) if port >= LOWEST => return Some(Forward { port, to }),
        (Ok(port), Ok(_)) => {
            format!("the port `{port}` inside belongs to root; forward one from {LOWEST} up")
        }
        (Err(_), _) => format!("`{text}` does not begin with the port inside"),
        (_, Err(problem)) => problem,
    };
    checker.report_with(ProblemKind::BadPort, node.span, problem, "write it like `5432:db.example.com:5432`");
    None
}
