//! `policy suggest`: what a manifest would have to say so that what a run was refused would have gone through.

use std::collections::HashMap;

use anyhow::Context;
use serde::Serialize;

use crate::cli::logs::find;
use crate::cli::{App, Format};
use crate::egress::effective_policy;
use crate::egress::summary::{self, Target};
use crate::error::CliResult;
use crate::run::records::Record;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy suggest dev                  of the newest run of `dev`
  claude-bottle policy suggest dev-1f2e3d4c >>rules

Nothing is changed. Hosts are what the agent asked for: add those that you trust.")]
pub(super) struct SuggestArgs {
    /// The bottle: its name, its run's id, or its agent for the newest run
    bottle: String,
    /// How the rules are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A rule that would have let requests through. Its keys are a contract.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Suggestion {
    rule: String,
    /// How many requests it is about.
    requests: usize,
}

pub(super) fn run(app: &App, args: &SuggestArgs) -> CliResult {
    let records = app.runs().all()?;
    let record = find(&records, &args.bottle)?;
    let summary = summary::read(&app.runs().dir(&record.id))
        .with_context(|| format!("cannot read the decisions of run `{}`", record.id))?;
    let allowed = allowed_by_now(app, record)?;
    let mut suggestions = suggestions(&summary.targets);
    suggestions.retain(|suggestion| !allowed.contains(&suggestion.rule));
    if args.format == Format::Json {
        return Ok(app.ui.json(&suggestions)?);
    }
    if suggestions.is_empty() {
        app.ui.status(&format!("run `{}` was refused nothing that a new rule would let through", record.id));
        return Ok(());
    }
    app.ui.data(&lines(&suggestions));
    app.ui.hint(&format!("add those that you trust to bottle `{}`: claude-bottle edit", record.bottle));
    app.ui
        .hint(&format!("while it runs, for that run alone: claude-bottle policy allow {} HOST", record.name));
    Ok(())
}

/// Returns the rules that the manifest has by now; none where it does not define the agent any more.
fn allowed_by_now(app: &App, record: &Record) -> CliResult<Vec<String>> {
    let Ok(manifest) = app.manifest() else { return Ok(Vec::new()) };
    let Ok((_, bottle)) = crate::cli::info::resolve(&manifest, &record.agent) else { return Ok(Vec::new()) };
    Ok(effective_policy(bottle)?.rules.iter().map(ToString::to_string).collect())
}

/// Returns the rules for what was refused, the one that most requests needed first.
fn suggestions(targets: &[Target]) -> Vec<Suggestion> {
    let mut counted: HashMap<String, usize> = HashMap::new();
    for target in targets {
        if let Some(rule) = target.rule() {
            *counted.entry(rule).or_default() += target.count;
        }
    }
    let each = counted.into_iter().map(|(rule, requests)| Suggestion { rule, requests });
    let mut suggestions: Vec<_> = each.collect();
    suggestions.sort_by(|a, b| (b.requests, &a.rule).cmp(&(a.requests, &b.rule)));
    suggestions
}

/// Formats rules as the part of a manifest that they go into.
fn lines(suggestions: &[Suggestion]) -> String {
    let line = |Suggestion { rule, requests }: &Suggestion| {
        let times = if *requests == 1 { "request" } else { "requests" };
        // The brackets of an IPv6 address would begin a list.
        let rule = if rule.starts_with('[') { format!("\"{rule}\"") } else { rule.clone() };
        format!("    - {rule}  # {requests} {times}")
    };
    let rules: Vec<_> = suggestions.iter().map(line).collect();
    format!("egress:\n  allowlist:\n{}", rules.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(count: usize, host: &str, port: u16, code: &str) -> Target {
        let (host, code) = (host.to_owned(), code.to_owned());
        Target { count, host, port, tunnel: true, code, knows_ports: true }
    }

    #[test]
    fn what_was_asked_for_most_is_first_and_each_rule_is_there_once() {
        let suggestions = suggestions(&[
            target(2, "b.test", 443, "not_in_allowlist"),
            // The name alone, and then its port of TLS.
            target(3, "a.test", 0, "not_in_allowlist"),
            target(1, "a.test", 443, "not_in_allowlist"),
            target(9, "denied.test", 443, "denied_by_rule"),
            target(1, "c.test", 8443, "port_not_allowed"),
            target(1, "[2001:db8::1]", 443, "ip_literal"),
        ]);
        let text = lines(&suggestions);
        assert_eq!(
            text,
            "egress:\n  allowlist:\n    - a.test  # 4 requests\n    - b.test  # 2 requests\n    \
             - \"[2001:db8::1]\"  # 1 request\n    - c.test:8443  # 1 request"
        );
    }
}
